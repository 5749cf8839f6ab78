package legacy

import (
	"strconv"

	"github.com/shopspring/decimal"
)

// Counter is a hash of usage figures.
type Counter struct {
	Requests, Input, Output, CacheCreation, CacheRead int64
	// Total is all tokens, those of caches included.
	Total int64
	// Ephemeral5m and Ephemeral1h divide CacheCreation.
	Ephemeral5m, Ephemeral1h int64
	// RatedMicro and RealMicro are millionths of a US dollar, rounded a record: they
	// divide a cost, they do not tell one. -1 is absent.
	RatedMicro, RealMicro int64
	// Unsplit tells that an old counter has only a total.
	Unsplit bool
}

// maxCount keeps figures exact as JavaScript numbers, as the service has them.
const maxCount = 1<<53 - 1

// counted are the names of a figure, newest first: current buckets', totals'.
var (
	requestNames = []string{"requests", "totalRequests"}
	inputNames   = []string{"inputTokens", "totalInputTokens"}
	outputNames  = []string{"outputTokens", "totalOutputTokens"}
	createNames  = []string{"cacheCreateTokens", "totalCacheCreateTokens"}
	readNames    = []string{"cacheReadTokens", "totalCacheReadTokens"}
	allNames     = []string{"allTokens", "totalAllTokens"}
	tokenNames   = []string{"tokens", "totalTokens"}
	fiveNames    = []string{"ephemeral5mTokens", "totalEphemeral5mTokens"}
	hourNames    = []string{"ephemeral1hTokens", "totalEphemeral1hTokens"}
)

// IsFigure tells the names of fields that make a Counter's figures, of all versions.
func IsFigure(name string) bool {
	return name == "ratedCostMicro" || figureNames[name]
}

var figureNames = func() map[string]bool {
	names := make(map[string]bool)
	for _, list := range [][]string{requestNames, inputNames, outputNames, createNames, readNames, allNames, tokenNames} {
		for _, name := range list {
			names[name] = true
		}
	}
	return names
}()

// ParseCounter reads the fields of a counter, of every version's names. Faults name
// the fields that are no numbers and count as 0; a counter without any figure has the
// fault "".
func ParseCounter(fields map[string]string) (c Counter, faults []string) {
	seen := false
	count := func(names []string) int64 {
		n, found, fault := lookUp(fields, names)
		seen = seen || found
		if fault != "" {
			faults = append(faults, fault)
		}
		return n
	}
	c = Counter{
		Requests: count(requestNames), Input: count(inputNames), Output: count(outputNames),
		CacheCreation: count(createNames), CacheRead: count(readNames), Total: count(allNames),
		Ephemeral5m: count(fiveNames), Ephemeral1h: count(hourNames),
	}
	tokens := count(tokenNames)
	c.RatedMicro, c.RealMicro = micro(fields, "ratedCostMicro", &faults), micro(fields, "realCostMicro", &faults)
	if !seen && len(faults) == 0 {
		return c, []string{""}
	}
	parts := c.Input + c.Output + c.CacheCreation + c.CacheRead
	if c.Input+c.Output == 0 && tokens > 0 {
		c.Unsplit, parts = true, parts+tokens
	}
	c.Total = max(c.Total, parts)
	return c, faults
}

// lookUp reads the first of the names that is there. Where one is damaged, the next
// may do.
func lookUp(fields map[string]string, names []string) (n int64, found bool, fault string) {
	for _, name := range names {
		text, ok := fields[name]
		if !ok || text == "" {
			continue
		}
		if n, ok := parseCount(text); ok {
			return n, true, fault
		}
		if fault == "" {
			fault = name
		}
	}
	return 0, false, fault
}

// parseCount reads a whole number that is not negative; "12.0" is one.
func parseCount(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		d, ok := ParseDecimal(text)
		if !ok || !d.IsInteger() || d.Abs().Cmp(decimal.New(maxCount, 0)) > 0 {
			return 0, false
		}
		n = d.IntPart()
	}
	return n, n >= 0 && n <= maxCount
}

func micro(fields map[string]string, name string, faults *[]string) int64 {
	text := fields[name]
	if text == "" {
		return -1
	}
	n, ok := parseCount(text)
	if !ok {
		*faults = append(*faults, name)
		return -1
	}
	return n
}

// Add adds the figures of another; what is not known of both is what is known of one.
func (c *Counter) Add(o *Counter) {
	c.Requests += o.Requests
	c.Input += o.Input
	c.Output += o.Output
	c.CacheCreation += o.CacheCreation
	c.CacheRead += o.CacheRead
	c.Total += o.Total
	c.Ephemeral5m += o.Ephemeral5m
	c.Ephemeral1h += o.Ephemeral1h
	c.RatedMicro = max(c.RatedMicro, 0) + max(o.RatedMicro, 0)
	c.RealMicro = max(c.RealMicro, 0) + max(o.RealMicro, 0)
	c.Unsplit = c.Unsplit || o.Unsplit
}

// Minus takes the figures of another away, never below 0; over tells that one would be.
// Millionths and what is ephemeral are left out.
func (c *Counter) Minus(o *Counter) (rest Counter, over bool) {
	sub := func(a, b int64) int64 {
		if b > a {
			over = true
			return 0
		}
		return a - b
	}
	rest = Counter{
		Requests: sub(c.Requests, o.Requests), Input: sub(c.Input, o.Input), Output: sub(c.Output, o.Output),
		CacheCreation: sub(c.CacheCreation, o.CacheCreation), CacheRead: sub(c.CacheRead, o.CacheRead), Total: sub(c.Total, o.Total),
	}
	return rest, over
}
