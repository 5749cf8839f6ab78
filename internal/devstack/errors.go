package devstack

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// logLines is how many lines of a server's log an error repeats.
const logLines = 12

// MissingError tells that a server is not installed.
type MissingError struct {
	// Programs are the missing ones, out of initdb (for all of PostgreSQL),
	// pg_stat_statements, redis-server and pgbouncer.
	Programs []string
	// Err is why; nil when they were just not found.
	Err error
}

// Error names what to install.
func (e *MissingError) Error() string {
	cause := ""
	if e.Err != nil {
		cause = " (" + e.Err.Error() + ")"
	}
	return fmt.Sprintf("devstack: %s not found%s: install %s (Homebrew: %s); on Debian and Ubuntu make does it",
		strings.Join(e.Programs, ", "), cause, e.packages(debian), e.packages(homebrew))
}

// Unwrap returns the cause.
func (e *MissingError) Unwrap() error { return e.Err }

var (
	debian = map[string][]string{
		"initdb":             {"postgresql", "postgresql-contrib"},
		"pg_stat_statements": {"postgresql-contrib"},
		"redis-server":       {"redis-server"},
		"pgbouncer":          {"pgbouncer"},
	}
	homebrew = map[string][]string{
		"initdb":             {"postgresql"},
		"pg_stat_statements": {"postgresql"},
		"redis-server":       {"redis"},
		"pgbouncer":          {"pgbouncer"},
	}
)

func (e *MissingError) packages(of map[string][]string) string {
	var names []string
	for _, program := range e.Programs {
		names = append(names, of[program]...)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// StartError tells that a server did not start.
type StartError struct {
	// Server is postgres, initdb or redis.
	Server string
	// Err is why, as far as its process tells.
	Err error
	// Log has the last lines of the server's log, joined by " | ".
	Log string
}

// Error has the cause and the end of the log, in one line.
func (e *StartError) Error() string {
	text := fmt.Sprintf("devstack: %s did not start: %v", e.Server, e.Err)
	if e.Log != "" {
		text += "; its log ends with: " + e.Log
	}
	return text
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	return strings.Join(lines[max(0, len(lines)-logLines):], " | ")
}
