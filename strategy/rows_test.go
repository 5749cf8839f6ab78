package strategy_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

var update = flag.Bool("update", false, "write the table of docs/strategies.md anew")

const (
	page  = "../docs/strategies.md"
	begin = "<!-- rows -->\n"
	end   = "<!-- end of rows -->\n"
)

// The page's table is what the code says.
func TestTheTableInTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	table, tail, found := strings.Cut(rest, end)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(head+begin+rowsTable()+end+tail), 0o644))
		return
	}
	require.Equal(t, rowsTable(), table, "go test ./strategy -run TestTheTableInTheDocs -update writes it anew")
}

func rowsTable() string {
	var b strings.Builder
	var why []string
	b.WriteString("| row | primary | cache | reads | writes | `apikey`, `account`, `session` | `usage` |\n|---|---|---|---|---|---|---|\n")
	records, usage := strategy.Rows(strategy.APIKey), strategy.Rows(strategy.Usage)
	for i, r := range records {
		cached := map[bool]string{true: "on", false: "off"}[r.EnableCache]
		fmt.Fprintf(&b, "| %d | `%s` | %s | `%s` | `%s` | %s | %s |\n", i+1, r.PrimaryStorage, cached, r.ReadStrategy, r.WriteStrategy,
			does(i+1, r, &why), does(i+1, usage[i], &why))
	}
	b.WriteString("\n")
	for i, reason := range why {
		fmt.Fprintf(&b, "- %c) %s\n", 'a'+i, reason)
	}
	return b.String()
}

func does(number int, r strategy.Row, why *[]string) string {
	switch r.As {
	case 0:
		reason := result.From(r.Refused).Message
		for i, known := range *why {
			if known == reason {
				return fmt.Sprintf("refused, %c", 'a'+i)
			}
		}
		*why = append(*why, reason)
		return fmt.Sprintf("refused, %c", 'a'+len(*why)-1)
	case number:
		return "**own semantics**"
	}
	return fmt.Sprintf("same as %d", r.As)
}

// Every row is one of these; what is not named is refused.
var semantics = map[strategy.DataType]map[int]int{
	strategy.APIKey: records, strategy.Account: records, strategy.Session: records,
	strategy.Usage: {10: 10, 11: 11, 12: 10, 13: 10, 14: 11, 15: 10, 28: 28, 30: 28, 31: 28, 33: 28},
}

var records = map[int]int{2: 2, 3: 3, 5: 5, 6: 6, 10: 10, 11: 11, 12: 10, 13: 10, 14: 11, 15: 10, 28: 28, 30: 28, 31: 28, 33: 28}

func TestEachRowsSemantics(t *testing.T) {
	t.Parallel()
	for dataType, want := range semantics {
		rows := strategy.Rows(dataType)
		require.Len(t, rows, 36)
		seen := make(map[strategy.Config]bool)
		for i, r := range rows {
			require.Equal(t, want[i+1], r.As, "%s, row %d", dataType, i+1)
			require.Equal(t, r.As == 0, r.Refused != nil)
			if r.Refused != nil {
				require.NotEmpty(t, result.From(r.Refused).Field())
			}
			seen[r.Config] = true
		}
		require.Len(t, seen, 36)
		def := strategy.Default(dataType, false)
		for i, r := range rows {
			if r.Config == def {
				require.Equal(t, def0(dataType), i+1, dataType)
			}
		}
	}
}

// def0 is the row of whoever sets nothing.
func def0(t strategy.DataType) int {
	if t == strategy.Usage {
		return 13
	}
	return 3
}
