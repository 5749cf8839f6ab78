package main

import (
	"strings"
	"unicode"
)

// printable takes what a terminal would obey out of a text that somebody else
// chose.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
