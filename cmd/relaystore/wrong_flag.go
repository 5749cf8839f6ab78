package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// flagOf has the library's fields whose flag or argument has another name.
var flagOf = map[string]string{
	"accountId": "account", "apiKeyId": "key", "cacheTTL": "ttl", "dataType": "type", "duration": "for", "enableCache": "cache",
	"endDate": "to", "granularity": "by", "keyId": "id", "primaryStorage": "primary", "readStrategy": "read", "retentionDays": "days",
	"startDate": "from", "tags": "tag", "timeRange": "range", "timeZone": "zone", "userId": "user", "writeStrategy": "write",
}

// byFlag makes the library's refusal of a field that a flag or an argument of the command
// gave one of usage, by the name that was typed.
func byFlag(c *cobra.Command, err error) error {
	var e *result.Error
	if !errors.As(err, &e) || e.Code != result.InvalidQuery {
		return err
	}
	field := e.Field()
	for _, name := range []string{flagOf[field], dashed(field), "id"} {
		if typed := typedAs(c, name); typed != "" && (name != "id" || field == "id" || strings.HasSuffix(field, "Id")) {
			return &codeError{exitUsage, fmt.Errorf("%s: %s", typed, strings.TrimPrefix(e.Message, field+": "))}
		}
	}
	return err
}

// typedAs gives "--name" or "NAME", whichever the command takes, or "".
func typedAs(c *cobra.Command, name string) string {
	word := strings.ToUpper(name)
	switch {
	case name == "":
		return ""
	case c.Flags().Lookup(name) != nil:
		return "--" + name
	case name != word && slices.Contains(strings.FieldsFunc(c.Use, func(r rune) bool { return !unicode.IsLetter(r) }), word):
		return word
	}
	return ""
}

// dashed writes tokenLimit as token-limit.
func dashed(field string) string {
	var b strings.Builder
	for _, r := range field {
		if unicode.IsUpper(r) && b.Len() > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	if strings.ToUpper(field) == field {
		return "" // a variable's name, or a file's
	}
	return b.String()
}
