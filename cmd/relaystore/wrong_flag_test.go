package main

import (
	"errors"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// A refused field is named as the person typed it, where they did.
func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command     []string
		field, want string
	}{
		{[]string{"stats"}, "granularity", "--by"}, {[]string{"stats"}, "apiKeyId", "--key"}, {[]string{"stats"}, "timeZone", "--zone"},
		{[]string{"stats"}, "accountId", "--account"}, {[]string{"metrics"}, "timeRange", "--range"}, {[]string{"cleanup"}, "retentionDays", "--days"},
		{[]string{"keys", "list"}, "sortBy", "--sort-by"}, {[]string{"keys", "list"}, "tags", "--tag"}, {[]string{"keys", "create"}, "tokenLimit", "--token-limit"},
		{[]string{"keys", "create"}, "name", "NAME"}, {[]string{"keys", "show"}, "keyId", "ID"}, {[]string{"accounts", "show"}, "accountId", "ID"},
		{[]string{"sessions", "revoke"}, "id", "ID"}, {[]string{"strategy", "switch"}, "dataType", "TYPE"}, {[]string{"strategy", "switch"}, "enableCache", "--cache"}, {[]string{"alerts", "set"}, "duration", "--for"},
		{[]string{"accounts", "add"}, "name", ""}, {[]string{"accounts", "add"}, "FILE", ""}, {[]string{"stats"}, "DATABASE_URL", ""},
	} {
		command, _, err := newRootCmd().Find(c.command)
		require.NoError(t, err)
		refused := result.Invalid(c.field, "must be good")
		err = byFlag(command, refused)
		var usage *codeError
		if c.want == "" {
			require.Same(t, refused, err, c.field)
			continue
		}
		require.EqualError(t, err, c.want+": must be good")
		require.True(t, errors.As(err, &usage) && usage.code == exitUsage)
	}
	all := make(map[string]bool)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, name := range flagOf {
			all[name] = all[name] || typedAs(c, name) != ""
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRootCmd())
	for name, there := range all {
		require.True(t, there, "nothing takes %s", name)
	}
}
