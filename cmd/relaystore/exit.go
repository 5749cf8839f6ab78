package main

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes; `relaystore help` lists them. dev exits with its command's code.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2 // unknown command, flag or argument
	exitNotMigrated = 3 // the database lacks migrations
	exitNoCommand   = 127
	exitInterrupted = 130 // by Ctrl-C or SIGTERM
)

// codeError makes the program exit with code. Without err it says nothing.
type codeError struct {
	code int
	err  error
}

// interrupted is of a command that tells what is to be done then.
func interrupted(format string, args ...any) error {
	return &codeError{exitInterrupted, fmt.Errorf("interrupted"+format, args...)}
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exitCode maps what a command returned to an exit code. An error from before
// a command began is one of usage.
func exitCode(ctx context.Context, err error, began bool) int {
	var coded *codeError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case !began:
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return exitFailure
	}
}
