// A page as the template sees it: in one language, at one time.

package problem

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// view is a page in a language.
type view struct {
	*Page
	in  translation
	now time.Time
}

// Lang returns the language, as HTML names it.
func (v view) Lang() string { return v.in.tag.String() }

// T translates text and fills in its placeholders.
func (v view) T(text string) string {
	return strings.NewReplacer("{provider}", v.Provider, "{user}", v.User, "{email}", v.Email, "{site}", v.Site).Replace(v.in.of(text))
}

// Rich is T for a text with code between backticks.
func (v view) Rich(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(v.T(text), "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String()) //nolint:gosec // every part is escaped
}

// Browser names the browser of a session.
func (v view) Browser(row SessionRow) string {
	switch {
	case row.Browser != "" && row.System != "":
		return strings.NewReplacer("{browser}", row.Browser, "{system}", row.System).Replace(v.in.of("{browser} on {system}"))
	case row.Browser != "" || row.System != "":
		return row.Browser + row.System
	}
	return v.in.of("A browser")
}

// Ago says how long ago t was: the page runs no script, and so cannot know the
// user's time zone.
func (v view) Ago(t time.Time) string {
	for _, unit := range []struct {
		length    time.Duration
		one, many string
	}{
		{24 * time.Hour, "yesterday", "%d days ago"},
		{time.Hour, "an hour ago", "%d hours ago"},
		{time.Minute, "a minute ago", "%d minutes ago"},
	} {
		switch n := int(v.now.Sub(t) / unit.length); {
		case n == 1:
			return v.in.of(unit.one)
		case n > 1:
			return fmt.Sprintf(v.in.of(unit.many), n)
		}
	}
	return v.in.of("just now")
}

// Exact returns t in full, for a tooltip.
func (v view) Exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Machine returns t as HTML's time element takes it.
func (v view) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }
