// What the commands print: tables, sentences, times.

package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// table prints rows below a heading.
func table(c *cobra.Command, heading []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(heading, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the list: %w", err)
	}
	return nil
}

// printed prints v as JSON if --json asks for that.
func printed(c *cobra.Command, v any) bool {
	if wanted, err := c.Flags().GetBool("json"); err != nil || !wanted {
		return false
	}
	printJSON(c, v)
	return true
}

// printJSON prints v as JSON.
func printJSON(c *cobra.Command, v any) {
	encoder := json.NewEncoder(c.OutOrStdout())
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) // every v can be encoded, and a closed output is not worth an error
}

// say prints a line.
func say(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintln(c.OutOrStdout(), printable(fmt.Sprintf(format, args...)))
}

// printable replaces characters that are not printable. Users choose their
// names, and a terminal obeys escape sequences in them.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

// counted returns "1 session" or "2 sessions".
func counted(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// local formats a time in the operator's time zone.
func local(t time.Time) string { return t.Local().Format(time.DateTime) }
