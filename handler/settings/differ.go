// What the blocks of one gate must agree on.

package settings

import (
	"slices"
	"strings"
)

// Difference is a setting that two blocks of one gate do not agree on.
type Difference struct {
	Setting       string // its name
	First, Second string // as an operator would write it; a secret is not shown
}

// perBlock are the settings that each block of a gate has for itself: how it
// answers its own requests.
var perBlock = []string{"clients", "errors", "identity_headers", "provider", "site_name"}

// Differ returns a setting of the gate that differs between first and second,
// which are resolved: sessions, keys and re-checks are the gate's, so that the
// block that happens to come first or last would decide.
func Differ(first, second *Settings) (Difference, bool) {
	return differ(first, second, func(string) bool { return true })
}

// DifferWritten is Differ for settings that are not resolved. Values with
// placeholders may be the same.
func DifferWritten(first, second *Settings) (Difference, bool) {
	first, second = first.clone(), second.clone()
	first.fill()
	second.fill()
	return differ(first, second, func(text string) bool { return !hasPlaceholder(text) })
}

func differ(first, second *Settings, known func(string) bool) (Difference, bool) {
	a, b := first.values(), second.values()
	names := make([]string, 0, len(a)+len(b))
	for _, values := range []map[string]value{a, b} {
		for name := range values {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if a[name].text != b[name].text && !slices.Contains(perBlock, name) && known(a[name].text) && known(b[name].text) {
			return Difference{name, a[name].shown(), b[name].shown()}, true
		}
	}
	return Difference{}, false
}

// value is a setting as text.
type value struct {
	text   string
	secret bool
}

func (v value) shown() string {
	switch {
	case v.secret:
		return "one secret"
	case v.text == "":
		return "not set"
	}
	return v.text
}

// values returns the settings by their names.
func (s *Settings) values() map[string]value {
	values := make(map[string]value)
	for _, text := range s.Texts() {
		values[text.Word] = value{*text.Value, text.secret}
	}
	for _, list := range s.Lists() {
		values[name(list.Block, list.Word)] = value{text: strings.Join(slices.Sorted(slices.Values(*list.Value)), " ")}
	}
	for _, span := range s.Spans() {
		values[name(span.Block, span.Word)] = value{text: span.Value.String()}
	}
	return values
}
