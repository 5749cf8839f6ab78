package dbtype

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// arrayCodec is pgx's, with a short way for a slice of T: pgx boxes each element,
// which costs an allocation and two look-ups.
type arrayCodec[T any] struct {
	pgtype.ArrayCodec

	element appender[T]
}

// appender appends a value's binary form.
type appender[T any] func(buf []byte, value T) ([]byte, error)

// PlanEncode knows []T in binary; pgx knows the rest.
func (c *arrayCodec[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return &encodeArray[T]{oid: c.ElementType.OID, element: c.element}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type encodeArray[T any] struct {
	oid     uint32
	element appender[T]
}

// Encode appends an array's binary form (array_send in PostgreSQL's arrayfuncs.c): how
// many dimensions, whether there are nulls, the elements' type, of each dimension the
// length and the lower bound, and of each element its length and itself.
func (e *encodeArray[T]) Encode(value any, buf []byte) ([]byte, error) {
	values, ok := value.([]T)
	if !ok {
		return nil, fmt.Errorf("cannot encode a %T as an array", value)
	}
	const noNulls, lowerBound = 0, 1
	dimensions := uint32(min(len(values), 1)) //nolint:gosec // 0 or 1
	for _, x := range []uint32{dimensions, noNulls, e.oid} {
		buf = binary.BigEndian.AppendUint32(buf, x)
	}
	if len(values) > 0 {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(values))) //nolint:gosec // far below a message's limit
		buf = binary.BigEndian.AppendUint32(buf, lowerBound)
	}
	for _, v := range values {
		at := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		var err error
		if buf, err = e.element(buf, v); err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4)) //nolint:gosec // far below a message's limit
	}
	return buf, nil
}

func appendUUID(buf []byte, id uuid.UUID) ([]byte, error) { return append(buf, id[:]...), nil }

func appendInt64(buf []byte, n int64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(buf, uint64(n)), nil //nolint:gosec // the same bits
}

func appendText(buf []byte, text string) ([]byte, error) { return append(buf, text...), nil }

// epoch is PostgreSQL's, from which a timestamp counts microseconds
// (timestamptz_send in timestamp.c).
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func appendTime(buf []byte, t time.Time) ([]byte, error) {
	return appendInt64(buf, t.UnixMicro()-epoch.UnixMicro())
}
