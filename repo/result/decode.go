package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Decode fills the struct that dst points to from a JSON object, one member at a
// time, so that every refusal is InvalidQuery and names its field. Names match
// exactly; a member given twice, one that differs from a field only in case, and
// broken Unicode are refused. A member of a member is named with a dot between.
// Members that dst has no field for are returned.
func Decode(data []byte, dst any) (unknown map[string]json.RawMessage, err error) {
	members, err := objectMembers(data)
	if err != nil {
		return nil, err
	}
	fields := jsonFields(reflect.ValueOf(dst).Elem())
	for _, name := range slices.Sorted(maps.Keys(members)) { // the same refusal each time
		field, ok := fields[name]
		if !ok {
			if near := nearName(fields, name); near != "" {
				return nil, Invalid(name, "unknown field, did you mean %s?", near)
			}
			continue
		}
		if err := decodeMember(name, members[name], field); err != nil {
			return nil, err
		}
		delete(members, name)
	}
	return members, nil
}

// DecodeStrict is [Decode] for objects that may hold nothing else and must hold
// the required members. null is no value: JavaScript prints NaN so.
func DecodeStrict(data []byte, dst any, required ...string) error {
	unknown, err := Decode(data, dst)
	if err != nil {
		return err
	}
	if len(required) > 0 {
		if err := checkRequired(data, required); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		return Invalid(slices.Min(slices.Collect(maps.Keys(unknown))), "unknown field")
	}
	return nil
}

func checkRequired(data []byte, required []string) error {
	members, err := objectMembers(data)
	if err != nil {
		return err
	}
	for _, name := range required {
		if raw, given := members[name]; !given || string(raw) == "null" {
			return Invalid(name, "required")
		}
	}
	return nil
}

func objectMembers(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, New(InvalidQuery, "the input is not a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for dec.More() {
		start := dec.InputOffset()
		name, err := dec.Token()
		if err != nil {
			return nil, New(InvalidQuery, "the input is not valid JSON")
		}
		key, _ := name.(string)
		if !validUnicode(data[start:dec.InputOffset()]) { // key has U+FFFD in its place
			return nil, New(InvalidQuery, "a member's name is not valid Unicode")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, Invalid(key, "not valid JSON")
		}
		if !validUnicode(raw) {
			return nil, Invalid(key, "not valid Unicode")
		}
		if _, twice := members[key]; twice {
			return nil, Invalid(key, "given twice")
		}
		members[key] = raw
	}
	if !ends(dec) {
		return nil, New(InvalidQuery, "the input is not valid JSON")
	}
	return members, nil
}

// ends takes the last brace; nothing may follow. More does not see a further one.
func ends(dec *json.Decoder) bool {
	if _, err := dec.Token(); err != nil {
		return false
	}
	_, err := dec.Token()
	return errors.Is(err, io.EOF)
}

func validUnicode(raw []byte) bool { return utf8.Valid(raw) && !loneSurrogate(raw) }

func decodeMember(name string, raw json.RawMessage, field reflect.Value) error {
	err := json.Unmarshal(raw, field.Addr().Interface())
	var own *Error
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own) && own.Field() != "":
		inner := own.Field()
		return Invalid(name+"."+inner, "%s", strings.TrimPrefix(own.Message, inner+": "))
	case errors.As(err, &own):
		return Invalid(name, "%s", own.Message)
	case errors.As(err, &kind):
		return Invalid(name, "a JSON %s does not fit", strings.Fields(kind.Value)[0])
	}
	return Invalid(name, "does not have the right form")
}

// jsonFields gives the settable fields by JSON name, embedded structs included.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, inner := range jsonFields(v.Field(i)) {
				fields[name] = inner
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func nearName(fields map[string]reflect.Value, name string) string {
	for known := range fields {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return ""
}

// loneSurrogate finds \uD800-\uDFFF escapes that are no pair: encoding/json
// would put U+FFFD in their place without a word.
func loneSurrogate(raw []byte) bool {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if !isSurrogate(raw, i, "89abAB") {
			if isSurrogate(raw, i, "cdefCDEF") {
				return true
			}
			i++ // the escaped character may be a backslash itself
			continue
		}
		if !isSurrogate(raw, i+6, "cdefCDEF") {
			return true
		}
		i += 11
	}
	return false
}

func isSurrogate(raw []byte, i int, third string) bool {
	return i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' && (raw[i+2] == 'd' || raw[i+2] == 'D') &&
		strings.IndexByte(third, raw[i+3]) >= 0
}
