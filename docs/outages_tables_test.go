package docs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// outcome is what a call gets in an outage.
type outcome string

const (
	answers outcome = "answers"
	// cached: answers until StaleIfError, then as an uncached one.
	cachedThenTimeOut outcome = "cached, then times out"
	cachedThenFails   outcome = "cached, then fails"
	// timesOutSoon waits for OpTimeout, whatever deadline its caller has.
	timesOutSoon outcome = "times out"
	timesOut     outcome = "waits, then times out"
	fails        outcome = "fails"
)

var timeOuts = []result.Code{result.QueryTimeout, result.ConnectionTimeout, result.PoolExhausted}

// codes are what an outcome's failures may be.
var codes = map[outcome][]result.Code{
	timesOutSoon: timeOuts,
	timesOut:     timeOuts,
	fails:        {result.ConnectionFailed},
}

// later is what a cached answer's outcome turns into.
var later = map[outcome]outcome{cachedThenTimeOut: timesOutSoon, cachedThenFails: fails}

// situations are the tables' columns.
var situations = []string{"PostgreSQL stopped", "PostgreSQL killed", "PostgreSQL slow", "Redis stopped", "Redis killed", "Redis slow", "both stopped", "both killed"}

// group is a row, with its calls and the ways to store data that it is of.
type group struct {
	name     string
	outcomes []outcome // a situation
	ways     []string
	calls    func(*gateway) []call
}

var (
	all         = []string{byDefault, writtenBehind, databaseFirst, notCached}
	withCache   = []string{byDefault, writtenBehind, databaseFirst}
	withThrough = []string{byDefault, databaseFirst, notCached}
)

// onPostgresGroups are the rows of the first table.
var onPostgresGroups = []group{
	{"validate, credentials: cached", needPostgres(cachedThenTimeOut, cachedThenFails), withCache, (*gateway).cached},
	{"validate, credentials: not cached", needPostgres(timesOutSoon, fails), withCache, (*gateway).uncached},
	{"validate, credentials: no cache", needPostgres(timesOutSoon, fails), []string{notCached}, (*gateway).validations},
	{"a key, an account", needPostgres(timesOut, fails), all, (*gateway).reads},
	{"lists", needPostgres(timesOut, fails), all, (*gateway).lists},
	{"record usage: `write_through`", needPostgres(timesOutSoon, fails), withThrough, (*gateway).record},
	{"record usage: `write_behind`", needBoth(timesOutSoon, fails), []string{writtenBehind}, (*gateway).record},
	{"stats, cost analysis", needPostgres(timesOut, fails), all, (*gateway).figures},
	{"create, update, delete, status", needPostgres(timesOut, fails), all, (*gateway).writes},
	{"transactions, batches", needPostgres(timesOut, fails), all, (*gateway).transactions},
	{"storage health", needNothing(), all, (*gateway).health},
	{"a process that starts", needPostgres(fails, fails), all, (*gateway).starts},
}

// onRedisGroups are those of the second one.
var onRedisGroups = []group{
	{"validate, credentials", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).validations},
	{"a key, an account", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).reads},
	{"lists", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).lists},
	{"record usage", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).record},
	{"stats, cost analysis", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).figures},
	{"create, update, delete, status", needRedis(timesOutSoon, fails), []string{onRedis}, (*gateway).writes},
	{"storage health", needNothing(), []string{onRedis}, (*gateway).health},
	{"a process that starts", needPostgres(fails, fails), []string{onRedis}, (*gateway).starts},
}

// needPostgres are the cells of what PostgreSQL answers.
func needPostgres(stopped, killed outcome) []outcome {
	return []outcome{stopped, killed, answers, answers, answers, answers, stopped, killed}
}

// needRedis are those of what Redis answers.
func needRedis(stopped, killed outcome) []outcome {
	return []outcome{answers, answers, answers, stopped, killed, answers, stopped, killed}
}

// needBoth are those of what one of them is enough for.
func needBoth(stopped, killed outcome) []outcome {
	return []outcome{answers, answers, answers, answers, answers, answers, stopped, killed}
}

func needNothing() []outcome { return needBoth(answers, answers) }

// The page's tables are those that are tested.
func TestOutagesPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("outages.md")
	require.NoError(t, err)
	for _, groups := range [][]group{onPostgresGroups, onRedisGroups} {
		var want strings.Builder
		fmt.Fprintf(&want, "| | %s |\n|%s\n", strings.Join(situations, " | "), strings.Repeat("---|", 1+len(situations)))
		for _, g := range groups {
			fmt.Fprintf(&want, "| %s", g.name)
			for _, o := range g.outcomes {
				fmt.Fprintf(&want, " | %s", o)
			}
			fmt.Fprintln(&want, " |")
		}
		require.Contains(t, string(page), "\n\n"+want.String()+"\n")
	}
	for outcome, of := range codes {
		for _, code := range of {
			require.Contains(t, string(page), string(code), outcome)
		}
	}
}
