package dbtype

import (
	"fmt"
	"math/big"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
)

// Decimal is an exact NUMERIC. It speaks PostgreSQL's binary format through
// pgx, so that no digit goes through text or a float. The zero value is 0.
type Decimal struct{ decimal.Decimal }

// NumericValue gives pgx the unscaled integer and its exponent.
func (d Decimal) NumericValue() (pgtype.Numeric, error) {
	return pgtype.Numeric{Int: d.Coefficient(), Exp: d.Exponent(), Valid: true}, nil
}

// ScanNumeric takes a value from pgx. NULL, NaN and the infinities are errors:
// no column of ours may hold them.
func (d *Decimal) ScanNumeric(n pgtype.Numeric) error {
	if !n.Valid || n.NaN || n.InfinityModifier != pgtype.Finite {
		return fmt.Errorf("cannot scan a NUMERIC that is not a finite number into %T", d)
	}
	if n.Int == nil {
		n.Int = new(big.Int)
	}
	d.Decimal = decimal.NewFromBigInt(n.Int, n.Exp)
	return nil
}
