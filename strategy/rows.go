package strategy

// Row is one of the 36 ways to store a data type that the contract's words make.
type Row struct {
	Config

	// As is the number of the first row that does the same: its own where it is that
	// one, and 0 where the row is refused.
	As int
	// Refused says why no process takes the row, or is nil.
	Refused error
}

// everything is the machinery of a process that lacks nothing.
var everything = Machinery{Cache: true, Journal: true, Redis: true}

// Rows gives a data type's 36 rows, which are numbered from 1: as docs/strategies.md
// shows them. A row's CacheTTL is the default where its cache is on.
func Rows(t DataType) []Row {
	var rows []Row
	first := make(map[Config]int)
	for _, c := range combinations() {
		row := Row{Config: c, Refused: everything.Check(t, c)}
		if row.Refused == nil {
			same := c.semantics()
			if first[same] == 0 {
				first[same] = len(rows) + 1
			}
			row.As = first[same]
		}
		rows = append(rows, row)
	}
	return rows
}

func combinations() (all []Config) {
	for _, p := range []Primary{PrimaryPostgres, PrimaryRedis} {
		for _, cached := range []bool{true, false} {
			for _, r := range []ReadStrategy{CacheFirst, DatabaseFirst, CacheOnly} {
				for _, w := range []WriteStrategy{WriteThrough, WriteBehind, WriteAround} {
					c := Config{p, cached, 0, r, w}
					if cached {
						c.CacheTTL = Default(APIKey, false).CacheTTL
					}
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// semantics gives the config that stands for all that do the same: without a cache
// there is nobody else to ask first, and nothing to write around.
func (c Config) semantics() Config {
	if c.EnableCache {
		return c
	}
	c.ReadStrategy = DatabaseFirst
	if c.WriteStrategy == WriteAround {
		c.WriteStrategy = WriteThrough
	}
	return c
}
