// The manual's table of RomM's releases is what TestVersions runs.

package tests

import (
	"strings"
	"testing"
)

// The manual's table matches what TestVersions runs.
func TestVersionTable(t *testing.T) {
	document := manual(t)
	var table strings.Builder
	row := func(first string, cell func(release) string) {
		table.WriteString("| " + first + " |")
		for _, v := range releases {
			table.WriteString(" " + cell(v) + " |")
		}
		table.WriteString("\n")
	}
	row("RomM", func(v release) string { return v.name })
	table.WriteString("|---" + strings.Repeat("|---", len(releases)) + "|\n")
	for _, b := range behaviours {
		row(b.name, func(v release) string {
			if b.cell == nil || b.cell(v) == "" {
				return "yes"
			}
			return b.cell(v)
		})
	}
	if !strings.Contains(document, "\n"+table.String()+"\n") {
		t.Errorf("README.md lacks this table:\n%s", table.String())
	}
}
