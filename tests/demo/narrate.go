// What happens at the gate, in words for the terminal.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// line is what the demo reads of a line of Caddy's log.
type line struct {
	Level  string  `json:"level"`
	Time   float64 `json:"ts"`
	Logger string  `json:"logger"`
	Text   string  `json:"msg"`

	User, Code, Reference, Doctor, Method, Path, Reason, By, Role, Cause string // of the audit log
}

// narrate copies Caddy's log to w: each line of the audit log as a sentence, and errors
// as they are.
func narrate(w io.Writer, log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err == nil && strings.HasSuffix(l.Logger, ".audit"):
			_, _ = fmt.Fprintln(w, l.sentence())
		case err != nil || l.Level != "info" && l.Level != "warn":
			_, _ = fmt.Fprintln(w, lines.Text())
		}
	}
	_, _ = io.Copy(w, log) // after a line that is too long, so that Caddy does not block
}

// sentence is l for a person who watches.
func (l *line) sentence() string {
	seconds := int64(l.Time)
	parts := []string{time.Unix(seconds, 0).Format(time.TimeOnly), l.Text}
	if l.User != "" {
		parts = append(parts, "· "+l.User)
	}
	if l.Role != "" {
		parts = append(parts, "as "+l.Role)
	}
	if l.Code != "" {
		parts = append(parts, "· "+l.Method, l.Path, "·", l.Code, "(reference "+l.Reference+")")
	}
	if l.Reason != "" {
		parts = append(parts, "· "+l.Reason)
	}
	if l.By != "" {
		parts = append(parts, "by "+l.By)
	}
	if l.Cause != "" {
		parts = append(parts, "· "+l.Cause)
	}
	if l.Doctor != "" {
		parts = append(parts, "· the doctor's code: "+l.Doctor)
	}
	return strings.Join(parts, " ")
}
