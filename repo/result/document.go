package result

import (
	"bytes"
	"encoding/json"
	"strings"
)

// CheckDocument is [CheckJSON] for a column that holds one kind of document: it
// refuses one that begins with none of the characters starts, and an object that
// gives a name twice, at any depth, of which JSONB would keep the last one without a
// word. An empty document and null are allowed.
func CheckDocument(field string, doc []byte, limit int, starts, kind string) error {
	if err := CheckJSON(field, doc, limit); err != nil {
		return err
	}
	doc = bytes.TrimSpace(doc)
	if len(doc) == 0 || string(doc) == "null" {
		return nil
	}
	if !strings.ContainsRune(starts, rune(doc[0])) {
		return Invalid(field, "not a JSON %s", kind)
	}
	return checkNames(field, doc)
}

// AddMembers puts members that [Decode] has no field for to those of extra, the JSON
// object that keeps them. A name that would be there twice is refused.
func AddMembers(extra json.RawMessage, unknown map[string]json.RawMessage) (json.RawMessage, error) {
	all := make(map[string]json.RawMessage)
	if len(extra) > 0 && string(extra) != "null" {
		if err := checkNames("extra", extra); err != nil { // the map would hide it
			return nil, err
		}
		if err := json.Unmarshal(extra, &all); err != nil {
			return nil, Invalid("extra", "not a JSON object")
		}
	}
	for name, value := range unknown {
		if _, twice := all[name]; twice {
			return nil, Invalid(name, "given twice")
		}
		all[name] = value
	}
	return json.Marshal(all)
}

// object is one that checkNames is in; an array has no names.
type object struct {
	names map[string]bool
	named bool // what comes next is its value
}

func checkNames(field string, doc []byte) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	around := []object{{}}
	for {
		tok, err := dec.Token()
		if err != nil {
			return nil // the end: the document is known to be valid
		}
		inner := &around[len(around)-1]
		name, _ := tok.(string)
		switch {
		case tok == json.Delim('}') || tok == json.Delim(']'):
			around = around[:len(around)-1]
			continue
		case inner.names != nil && !inner.named:
			if inner.names[name] {
				return Invalid(field, "holds an object that gives a name twice")
			}
			inner.names[name], inner.named = true, true
			continue
		}
		inner.named = false
		switch tok {
		case json.Delim('{'):
			around = append(around, object{names: make(map[string]bool)})
		case json.Delim('['):
			around = append(around, object{})
		}
	}
}
