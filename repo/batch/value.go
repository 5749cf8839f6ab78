package batch

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxText is as long as the longest text column, in characters.
	maxText = 256 << 10
	maxHex  = 1024
	maxJSON = 2 << 20
)

// replaced finds what Marshal puts in place of broken UTF-8: its escape, and no escaped
// backslash before the letters of one.
var replaced = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\\ufffd`)

// raw gives a value as JSON.
func raw(name string, value any) (json.RawMessage, error) {
	if doc, ok := value.(json.RawMessage); ok {
		doc = bytes.TrimSpace(doc)
		if plain := !bytes.ContainsRune(doc, '\\') && utf8.Valid(doc) && json.Valid(doc); plain {
			return doc, nil // a closer look would cost more than all the rest
		}
		if len(doc) == 0 {
			return nil, result.Invalid(name, "not valid JSON")
		}
		return doc, result.CheckJSON(name, doc, maxJSON)
	}
	doc, err := json.Marshal(value)
	if err != nil {
		return nil, result.Invalid(name, "has no form in JSON")
	}
	if replaced.Match(doc) {
		return nil, result.Invalid(name, "not valid UTF-8")
	}
	return doc, nil
}

// parse gives a where's value as text that PostgreSQL reads as the column's type.
func (k Kind) parse(name string, doc json.RawMessage) (string, error) {
	read, known := readers[k]
	if !known {
		return "", result.Invalid(name, "cannot be compared")
	}
	text, err := read(name, doc)
	var own *result.Error
	switch {
	case err == nil:
		return text, nil
	case errors.As(err, &own) && own.Field() != "":
		return "", own
	case errors.As(err, &own):
		return "", result.Invalid(name, "%s", own.Message)
	}
	return "", result.Invalid(name, "not a value of type %s", k)
}

var readers = map[Kind]func(name string, doc json.RawMessage) (string, error){
	UUID: decoded(func(name, text string) (string, error) {
		id, err := result.ParseID(name, text)
		return id.String(), err
	}),
	Text:     decoded(func(name, text string) (string, error) { return text, result.CheckText(name, text, maxText) }),
	Bool:     decoded(func(_ string, b bool) (string, error) { return strconv.FormatBool(b), nil }),
	SmallInt: decoded(func(_ string, n int16) (string, error) { return strconv.FormatInt(int64(n), 10), nil }),
	BigInt:   decoded(func(_ string, n int64) (string, error) { return strconv.FormatInt(n, 10), nil }),
	Numeric:  exactly,
	Time: decoded(func(name string, t time.Time) (string, error) {
		if y := t.UTC().Year(); y < 1 || y > 9999 {
			return "", result.Invalid(name, "must lie between the years 1 and 9999")
		}
		if !t.Equal(t.Truncate(time.Microsecond)) {
			return "", result.Invalid(name, "has at most 6 decimals of a second")
		}
		return timeText(t), nil
	}),
	Bytes: decoded(func(name, digits string) (string, error) {
		if _, err := hex.DecodeString(digits); err != nil || len(digits) > maxHex {
			return "", result.Invalid(name, "not hex digits")
		}
		return `\x` + strings.ToLower(digits), nil
	}),
}

// exactly reads an amount that Money need not round: a where that asks for another
// number than was given would find other rows.
func exactly(name string, doc json.RawMessage) (string, error) {
	var m result.Money
	if err := m.UnmarshalText(doc); err != nil {
		return "", err
	}
	given, err := decimal.NewFromString(string(doc))
	if err != nil || !given.Equal(m.Decimal()) {
		return "", result.Invalid(name, "has at most %d decimals", result.MoneyDecimals)
	}
	return m.String(), nil
}

func decoded[T any](text func(name string, v T) (string, error)) func(string, json.RawMessage) (string, error) {
	return func(name string, doc json.RawMessage) (string, error) {
		var v T
		if err := json.Unmarshal(doc, &v); err != nil {
			return "", err
		}
		return text(name, v)
	}
}

// cell gives a row's value as text that PostgreSQL reads as the column's type;
// nil is NULL.
func cell(value any) *string {
	var text string
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case int16:
		text = strconv.FormatInt(int64(v), 10)
	case int32:
		text = strconv.FormatInt(int64(v), 10)
	case int64:
		text = strconv.FormatInt(v, 10)
	case uuid.UUID:
		text = v.String()
	case dbtype.Decimal:
		text = v.String()
	case dbtype.JSON:
		text = string(v)
	case []byte:
		if v == nil {
			return nil
		}
		text = `\x` + hex.EncodeToString(v)
	case []string:
		text = array(v)
	case time.Time:
		text = timeText(v)
	case *time.Time:
		if v == nil {
			return nil
		}
		text = timeText(*v)
	default: // a domain's row has a type that no column has had so far
		panic(fmt.Sprintf("batch: a value of type %T", value))
	}
	return &text
}

// timeText cuts off what PostgreSQL would round.
func timeText(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

var arrayEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// array writes PostgreSQL's array literal, whose elements are texts.
func array(elements []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		_, _ = arrayEscapes.WriteString(&b, e)
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
