package batch

import (
	"slices"
	"strings"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Batch is operations that have been checked: only the database can still refuse
// them. It may run more than once.
type Batch struct {
	steps []step
}

// step is one operation as its statement takes it.
type step struct {
	*statement

	index  int
	cells  []*string
	single string   // of a change: the unique value that its where asks for, or ""
	names  []name   // of a change: the rows that its where names
	shown  any      // the result of a create
	keys   [][]byte // what caches must forget of a created row
}

// name is values of a unique column, as an array literal.
type name struct{ column, values string }

// Prepare checks operations. An error names the operation in details.index and the
// member in details.field.
func Prepare(domains []Domain, operations []Operation) (*Batch, error) {
	return prepare(domains, operations, maxBytes)
}

func prepare(domains []Domain, operations []Operation, maxBytes int) (*Batch, error) {
	if len(operations) > MaxOperations {
		return nil, result.Invalid("operations", "more than %d", MaxOperations)
	}
	p := preparing{domains: domains, statements: make(map[string]*statement)}
	b := &Batch{steps: make([]step, len(operations))}
	size := 0
	for i, op := range operations {
		s, err := p.step(op)
		if err != nil {
			return nil, result.From(err).With("index", i)
		}
		s.index = i
		b.steps[i] = s
		for _, c := range s.cells {
			if c != nil {
				size += len(*c)
			}
		}
		if size > maxBytes {
			return nil, result.Invalid("operations", "larger than %d bytes", maxBytes)
		}
	}
	return b, nil
}

type preparing struct {
	domains    []Domain
	statements map[string]*statement // by shape
}

func (p *preparing) step(op Operation) (step, error) {
	i := slices.IndexFunc(p.domains, func(d Domain) bool { return d.Table == op.Table })
	if i < 0 {
		return step{}, result.Invalid("table", "must be %s", strings.Join(p.tables(), " or "))
	}
	d := &p.domains[i]
	if d.Refused != nil {
		return step{}, result.From(d.Refused).With("field", "table")
	}
	var s step
	var err error
	switch op.Type {
	case Create:
		s, err = p.create(d, op)
	case Update:
		s, err = p.update(d, op)
	case Delete:
		s, err = p.delete(d, op)
	default:
		err = result.Invalid("type", "must be %s, %s or %s", Create, Update, Delete)
	}
	return s, err
}

func (p *preparing) tables() []string {
	names := make([]string, len(p.domains))
	for i, d := range p.domains {
		names[i] = d.Table
	}
	return names
}

func (p *preparing) create(d *Domain, op Operation) (step, error) {
	if d.Create == nil {
		return step{}, result.Invalid("type", "rows of %s are not created by a batch", d.Table)
	}
	if len(op.Where) > 0 {
		return step{}, result.Invalid("where", "means nothing for a create")
	}
	data, err := d.data(op.Data, InCreate)
	if err != nil {
		return step{}, err
	}
	row, shown, err := d.Create(data)
	if err != nil {
		return step{}, d.named(err)
	}
	s := step{shown: shown}
	columns := columnsOf(row)
	for _, name := range columns {
		s.cells = append(s.cells, cell(row[name]))
	}
	for _, name := range d.CacheKeys {
		if key, _ := row[name].([]byte); key != nil {
			s.keys = append(s.keys, key)
		}
	}
	s.statement = p.shared(shape(d, op.Type, columns, nil), func() *statement { return d.insert(columns) })
	return s, nil
}

func (p *preparing) update(d *Domain, op Operation) (step, error) {
	if d.Update == nil {
		return step{}, result.Invalid("type", "rows of %s are not updated by a batch", d.Table)
	}
	if len(op.Data) == 0 {
		return step{}, result.Invalid("data", "required: say what to set")
	}
	data, err := d.data(op.Data, InUpdate)
	if err != nil {
		return step{}, err
	}
	row, err := d.Update(data)
	if err != nil {
		return step{}, d.named(err)
	}
	return p.change(d, op, row)
}

func (p *preparing) delete(d *Domain, op Operation) (step, error) {
	if len(op.Data) > 0 {
		return step{}, result.Invalid("data", "means nothing for a delete")
	}
	if d.Delete == nil {
		return p.change(d, op, nil)
	}
	return p.change(d, op, d.Delete())
}

func (p *preparing) change(d *Domain, op Operation, row Row) (step, error) {
	conditions, err := d.conditions(op.Where)
	if err != nil {
		return step{}, err
	}
	var s step
	for _, c := range conditions {
		if c.cell != nil {
			s.cells = append(s.cells, c.cell)
		}
		if c.column.Uses&Unique == 0 {
			continue
		}
		switch c.word {
		case "eq":
			s.single = *c.cell
			s.names = append(s.names, name{c.column.Name, array([]string{*c.cell})})
		case "in":
			s.names = append(s.names, name{c.column.Name, *c.cell})
		}
	}
	var columns []string
	if row != nil {
		columns = columnsOf(row)
	}
	for _, name := range columns {
		s.cells = append(s.cells, cell(row[name]))
	}
	s.statement = p.shared(shape(d, op.Type, columns, conditions), func() *statement { return d.change(conditions, columns) })
	return s, nil
}

// shared gives one statement for each shape.
func (p *preparing) shared(shape string, build func() *statement) *statement {
	if p.statements[shape] == nil {
		p.statements[shape] = build()
	}
	return p.statements[shape]
}

func shape(d *Domain, kind string, columns []string, conditions []condition) string {
	parts := append([]string{d.Table, kind}, columns...)
	for _, c := range conditions {
		parts = append(parts, c.column.Name+" "+c.word)
	}
	return strings.Join(parts, ",")
}
