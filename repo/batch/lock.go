package batch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
)

// lockNamed locks the rows that the batch names by a unique column, each table's in the
// order of its key and the tables in that of their names: two batches that name the
// same rows in opposite orders then take turns. Without it 16 such batches of 4 clients
// with 20 keys were not done in 30 s, since each deadlock takes a second; with it they
// take one. Where all is one statement, that locks in order itself.
func (r *run) lockNamed(ctx context.Context, steps []step) error {
	if together(steps) == len(steps) {
		return nil
	}
	named := make(map[*Domain]map[string][]string)
	var domains []*Domain
	for _, s := range steps {
		for _, n := range s.names {
			d := s.domain
			if named[d] == nil {
				named[d], domains = make(map[string][]string), append(domains, d)
			}
			named[d][n.column] = append(named[d][n.column], n.values)
		}
	}
	slices.SortFunc(domains, func(a, b *Domain) int { return cmp.Compare(a.Table, b.Table) })
	for _, d := range domains {
		err := d.primary(r.primary).Write(ctx, func(ctx context.Context, c db.DBTX) error {
			sql, args := d.locks(named[d])
			_, err := c.Exec(ctx, sql, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// locks is the statement that locks rows; named has array literals of values by column.
// More rows than a batch may change are not worth their locks.
func (d *Domain) locks(named map[string][]string) (sql string, args []any) {
	args = []any{pgx.QueryExecModeExec}
	var parts []string
	for _, c := range d.Columns {
		lists := named[c.Name]
		if len(lists) == 0 {
			continue
		}
		args = append(args, lists)
		parts = append(parts, fmt.Sprintf("t.%s = ANY (ARRAY(SELECT u.v FROM unnest($%d::text[]) AS l(list) CROSS JOIN LATERAL unnest(l.list::%s[]) AS u(v)))",
			quote(c.Name), len(args)-1, c.Kind))
	}
	hidden := ""
	if d.Hidden != "" {
		hidden = " AND t." + quote(d.Hidden) + " IS NULL"
	}
	return fmt.Sprintf("SELECT FROM %s AS t WHERE (%s)%s ORDER BY t.%s LIMIT %d FOR UPDATE OF t",
		quote(d.Table), strings.Join(parts, " OR "), hidden, quote(d.Key), maxRowsTotal+1), args
}
