package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/internal/devstack"
)

const devHelp = `Starts a private PostgreSQL and a private Redis, gives their addresses to CMD
through DATABASE_URL and REDIS_URL, and exits with CMD's exit code: 128+n when
signal n ended CMD, 127 when there is no such program.

The database is named relaystore and is empty. The servers are set as in
production (fsync, appendfsync always), listen on a private socket and on
127.0.0.1 with a random password, and go away with their data when relaystore
ends, however it ends. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to CMD.

Without CMD it prints both addresses for a shell, runs until Ctrl-C and exits
with 0.`

const devExample = `  relaystore dev -- go test ./...
  relaystore dev -- sh -c 'psql "$DATABASE_URL"'
  relaystore dev --only-missing -- make bench
  relaystore dev`

// newDevCmd is `relaystore dev`.
func newDevCmd() *cobra.Command {
	var onlyMissing bool
	c := &cobra.Command{
		Use:     "dev [--only-missing] [-- CMD...]",
		Short:   "Run a command with private servers",
		Long:    devHelp,
		Example: devExample,
		RunE: func(c *cobra.Command, args []string) error {
			return dev(c, args, onlyMissing)
		},
	}
	c.Flags().BoolVar(&onlyMissing, "only-missing", false,
		"start no server whose URL the environment has; pass that URL on")
	// What follows CMD is CMD's, also when the user forgets the two dashes.
	c.Flags().SetInterspersed(false)
	return c
}

func dev(c *cobra.Command, args []string, onlyMissing bool) error {
	if len(args) > 0 {
		if _, err := exec.LookPath(args[0]); err != nil {
			return &codeError{exitNoCommand, err}
		}
	}
	var databaseURL, redisURL string
	if onlyMissing {
		databaseURL, redisURL = os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL")
	}
	signals, stop := devstack.Signals()
	defer stop()
	stack, err := devstack.Start(c.Context(), devstack.Options{
		SkipPostgres: databaseURL != "",
		SkipRedis:    redisURL != "",
	})
	if err != nil {
		return err
	}
	urls := serverURLs{database: databaseURL + stack.DatabaseURL, redis: redisURL + stack.RedisURL}
	if len(args) == 0 {
		err = urls.show(c, signals)
	} else {
		err = urls.run(c, args, signals)
	}
	if closeErr := stack.Close(); err == nil {
		err = closeErr
	}
	return err
}

type serverURLs struct {
	database, redis string
}

// run hands over CMD's exit code in a codeError unless it is 0.
func (u serverURLs) run(c *cobra.Command, args []string, signals <-chan os.Signal) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+u.database, "REDIS_URL="+u.redis)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	code, err := devstack.RunCommand(cmd, signals)
	if err != nil || code == exitOK {
		return err
	}
	return &codeError{code: code}
}

func (u serverURLs) show(c *cobra.Command, signals <-chan os.Signal) error {
	if err := u.write(c.OutOrStdout()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.ErrOrStderr(), "Paste these lines into another shell. Ctrl-C stops the servers and deletes their data.")
	if err != nil {
		return err
	}
	<-signals
	return nil
}

func (u serverURLs) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "export DATABASE_URL=%s\nexport REDIS_URL=%s\n", quote(u.database), quote(u.redis))
	return err
}

// quote makes one word of s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
