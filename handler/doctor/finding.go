// What the doctor reports.

package doctor

import (
	"fmt"
	"strings"
)

// Level is how bad a finding is.
type Level string

// The levels. A problem keeps users from signing in or lets them past the gate.
const (
	Problem Level = "problem"
	Warning Level = "warning"
	Note    Level = "note"
)

// Finding is what the doctor found.
type Finding struct {
	Code     string `json:"code"` // one of Codes
	Level    Level  `json:"level"`
	Site     string `json:"site,omitempty"` // where
	Seen     string `json:"seen"`
	Expected string `json:"expected,omitempty"`
	Line     string `json:"line,omitempty"`   // the line to change
	Write    string `json:"write,omitempty"`  // the text to put there; without a line: to add
	Remove   bool   `json:"remove,omitempty"` // the line is to go, with the block that it opens
}

// Report is what the doctor found, and how far it came.
type Report struct {
	Findings []Finding `json:"findings"`
	Checked  []string  `json:"checked"` // what was looked at
	Skipped  []string  `json:"skipped"` // what was not, and why
	Facts    []string  `json:"facts"`   // what was seen, in good health too
}

// Well reports whether there is no problem.
func (r *Report) Well() bool {
	for _, finding := range r.Findings {
		if finding.Level == Problem {
			return false
		}
	}
	return true
}

// add adds a finding. Its level is that of its code.
func (r *Report) add(code string, finding Finding) {
	cause, ok := Codes[code]
	if !ok {
		panic("doctor: unknown code " + code) // a mistake in this package, which its tests find
	}
	finding.Code, finding.Level = code, cause.Level
	for _, other := range r.Findings {
		same := finding
		if strings.HasPrefix(code, "config_") {
			same.Site = other.Site // the same block, at another address
		}
		if other == same {
			return
		}
	}
	r.Findings = append(r.Findings, finding)
}

func (r *Report) checked(format string, args ...any) {
	r.Checked = append(r.Checked, fmt.Sprintf(format, args...))
}

func (r *Report) fact(format string, args ...any) {
	r.Facts = append(r.Facts, fmt.Sprintf(format, args...))
}

func (r *Report) skipped(format string, args ...any) {
	r.Skipped = append(r.Skipped, fmt.Sprintf(format, args...))
}

// Differs adds that the running Caddy has another configuration than file.
func (r *Report) Differs(file string) {
	r.add("caddy_other_config", Finding{Seen: "the running Caddy has another configuration than " + file, Expected: "the same", Write: "caddy reload --config " + file})
}
