package legacy

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

func texts(name string, at func(*Key) *[]string) keyField {
	return keyField{
		name: name,
		read: func(k *Key, text string) (ok bool) {
			*at(k), ok = readTexts(text)
			return ok
		},
		write: func(k *Key) string { return list(*at(k)) },
	}
}

// readTexts gives the texts of an array, without what else it holds.
func readTexts(text string) (texts []string, ok bool) {
	if absent(text) {
		return nil, true
	}
	var all []any
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil, false
	}
	ok = true
	for _, v := range all {
		s, _ := v.(string)
		if s = clean(s); s != "" {
			texts = append(texts, s)
		} else {
			ok = false
		}
	}
	return texts, ok
}

// list prints texts as JavaScript does, which leaves <, > and & as they are.
func list(texts []string) string {
	if len(texts) == 0 {
		return "[]"
	}
	return script(texts)
}

func script(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // texts and amounts always marshal
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nothing is a permission that no platform has.
const nothing = "none"

// readPermissions knows the forms that the service does: an array, "all", "a,b".
func readPermissions(k *Key, text string) (ok bool) {
	k.Permissions, ok = nil, true
	switch {
	case absent(text) || text == "all":
		return true
	case strings.HasPrefix(text, "["):
		if k.Permissions, ok = readTexts(text); ok && len(k.Permissions) == 0 {
			return true
		}
	default:
		for w := range strings.SplitSeq(text, ",") {
			k.Permissions = append(k.Permissions, strings.TrimSpace(clean(w)))
		}
	}
	known, wrong := platformWords(k.Permissions)
	if k.Permissions = known; len(known) == 0 {
		k.Permissions = []string{nothing}
	}
	return ok && !wrong
}

// platformWords leaves out words that come again, and those that would mean something
// else: in an array, all is no platform to the service.
func platformWords(words []string) (known []string, wrong bool) {
	for _, w := range words {
		switch {
		case w == "" || w == "all" || strings.Contains(w, ","):
			wrong = true
		case !slices.Contains(known, w):
			known = append(known, w)
		}
	}
	return known, wrong
}

func readRates(k *Key, text string) bool {
	var values map[string]json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &values) != nil {
		return false
	}
	ok := true
	for service, value := range values {
		rate, known := ParseAmount(strings.Trim(string(value), `"`))
		if !known || clean(service) != service {
			ok = false
			continue
		}
		if k.ServiceRates == nil {
			k.ServiceRates = make(map[string]decimal.Decimal, len(values))
		}
		k.ServiceRates[service] = rate
	}
	return ok
}

func writeRates(k *Key) string {
	rates := make(map[string]json.Number, len(k.ServiceRates))
	for service, rate := range k.ServiceRates {
		rates[service] = json.Number(rate.String())
	}
	return script(rates)
}

// readRules keeps the array as it is written.
func readRules(k *Key, text string) bool {
	var rules []json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &rules) != nil || clean(text) != text {
		return false
	}
	if len(rules) > 0 {
		k.OpenAIResponsesPayloadRules = json.RawMessage(text)
	}
	return true
}

func readMore(k *Key, text string) bool {
	var members map[string]json.RawMessage
	if absent(text) {
		return true
	}
	if json.Unmarshal([]byte(text), &members) != nil {
		return false
	}
	if len(members) > 0 {
		k.More = json.RawMessage(text)
	}
	return true
}
