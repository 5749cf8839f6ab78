package result

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// CheckText refuses a text with a NUL, broken UTF-8 or more than limit
// characters, naming the field.
func CheckText(field, text string, limit int) error {
	switch {
	case !utf8.ValidString(text):
		return Invalid(field, "not valid UTF-8")
	case strings.IndexByte(text, 0) >= 0:
		return Invalid(field, "holds a NUL character")
	case utf8.RuneCountInString(text) > limit:
		return Invalid(field, "longer than %d characters", limit)
	}
	return nil
}

// ParseID reads a UUID in its canonical form of 36 characters, not the nil one.
func ParseID(field, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 || id == uuid.Nil {
		return uuid.Nil, Invalid(field, "not a UUID")
	}
	return id, nil
}

// hugeNumber finds JSON numbers that PostgreSQL would need thousands of digits for.
var hugeNumber = regexp.MustCompile(`[eE][+-]?0*[0-9]{4,}|[0-9]{1000,}`)

const maxJSONDepth = 64

// CheckJSON refuses a document of more than limit bytes or 64 levels, one that is
// no JSON, and what JSONB cannot hold: NUL characters, lone surrogates, numbers of
// thousands of digits. An empty document is allowed.
func CheckJSON(field string, doc []byte, limit int) error {
	switch {
	case len(doc) > limit:
		return Invalid(field, "larger than %d bytes", limit)
	case len(doc) == 0:
		return nil
	case !utf8.Valid(doc) || !json.Valid(doc):
		return Invalid(field, "not valid JSON")
	case loneSurrogate(doc):
		return Invalid(field, "not valid Unicode")
	}
	return checkTokens(field, doc, limit)
}

func checkTokens(field string, doc []byte, limit int) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	level, stored := 0, len(doc)
	for {
		tok, err := dec.Token()
		if err != nil {
			return nil // the end: the document is known to be valid
		}
		switch v := tok.(type) {
		case json.Delim:
			if level += map[json.Delim]int{'{': 1, '[': 1, '}': -1, ']': -1}[v]; level > maxJSONDepth {
				return Invalid(field, "deeper than %d levels", maxJSONDepth)
			}
		case json.Number:
			if hugeNumber.MatchString(v.String()) {
				return Invalid(field, "holds a number of too many digits")
			}
			if stored += storedDigits(v); stored > 2*limit { // JSONB writes exponents out
				return Invalid(field, "larger than %d bytes when it is stored", 2*limit)
			}
		case string:
			if strings.IndexByte(v, 0) >= 0 {
				return Invalid(field, "holds a NUL character")
			}
		}
	}
}

// CheckAmount refuses a negative amount and one that is too large to store.
func CheckAmount(field string, amount Money) error {
	if amount.IsNegative() {
		return Invalid(field, "must not be negative")
	}
	if err := amount.Check(); err != nil {
		return Invalid(field, "%s", From(err).Message)
	}
	return nil
}

// storedDigits is how many digits the exponent of a number becomes.
func storedDigits(n json.Number) int {
	_, exponent, _ := strings.Cut(strings.ToLower(n.String()), "e")
	digits, _ := strconv.Atoi(strings.TrimLeft(exponent, "+-"))
	return digits
}
