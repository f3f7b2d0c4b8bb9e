// Package command is `caddy romm-oidc`: an operator's hand on a running
// Caddy, through its admin API.
package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "romm-oidc",
		Usage: "status | sessions list|end|end-user|end-all | links list|move|forget | keys rotate [--gate <id>] [--address <interface>]",
		Short: "Manages the RomM gates of a running Caddy",
		Long: `
Manages the romm_oidc gates of a running Caddy, through its admin API.

  status                         tells how each gate is; exits 1 if the provider does not answer, or storage takes nothing
  sessions list                  lists who is signed in
  sessions end <id>              ends one session
  sessions end-user <user>       ends all sessions of a user, by their user name or subject at the
                                 provider, or their user name or e-mail address in RomM
  sessions end-all               ends all sessions
  links list                     lists which user of the provider is linked to which RomM account
  links move <account> <subject> links the RomM account with this e-mail address or user name to another
                                 subject of the provider
  links forget <address>         removes the link of the RomM account with this e-mail address;
                                 whoever signs in with the address next is linked to it
  keys rotate                    makes new keys; they come into use within the hour and end no session

What ends a session closes its sockets and transfers, on all nodes that share a storage.
`,
		CobraFunc: func(c *cobra.Command) {
			c.PersistentFlags().String("address", "", "The address of the admin API (default: that of the default configuration)")
			c.PersistentFlags().String("gate", "", "The id of the only gate that is meant, as status shows it (default: all)")
			c.RunE = showHelp
			c.AddCommand(
				&cobra.Command{Use: "status", Short: "Tells how each gate is", Args: takes(), RunE: showStatus},
				sessionsCommand(), linksCommand(), keysCommand(),
			)
		},
	})
}

// showHelp is what a command does that only has others below it. A word that is
// none of them is an error: a script must not take it for done.
func showHelp(c *cobra.Command, args []string) error {
	if len(args) > 0 && args[0] != "help" {
		return fmt.Errorf("%s knows no %q: see %s --help", c.CommandPath(), args[0], c.CommandPath())
	}
	return c.Help()
}

// takes refuses any but as many arguments as there are words for them.
func takes(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == len(words):
			return nil
		case len(words) == 0:
			return fmt.Errorf("%s takes no argument, and was given %q", c.CommandPath(), args)
		}
		return fmt.Errorf("%s takes %s: see %s --help", c.CommandPath(), strings.Join(words, ", and "), c.CommandPath())
	}
}

// AnswerLimit bounds what is read of an answer, in bytes.
const answerLimit = 64 << 20

// ask asks the admin API and decodes its answer into v. query may be nil.
func ask(c *cobra.Command, method, path string, query url.Values, v any) error {
	address, err := c.Flags().GetString("address")
	if err != nil {
		return fmt.Errorf("reading --address: %w", err)
	}
	gate, err := c.Flags().GetString("gate")
	if err != nil {
		return fmt.Errorf("reading --gate: %w", err)
	}
	if gate != "" {
		if query == nil {
			query = url.Values{}
		}
		query.Set("gate", gate)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/") // as it stands in a browser
	if address, err = caddycmd.DetermineAdminAPIAddress(address, nil, "", ""); err != nil {
		return fmt.Errorf("finding the admin API: %w", err)
	}
	answer, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		if refused := refusal(err); refused != "" {
			return errors.New(refused)
		}
		return fmt.Errorf("asking the admin API of Caddy at %s: %w. Is Caddy running here, with its admin API on? See --address", address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the admin API of Caddy at %s: it answered %s", address, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, answerLimit)).Decode(v); err != nil {
		return fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return nil
}

// refusal returns what the admin API said against a request, empty if err is
// something else. Caddy passes its answer on in the error's text only.
func refusal(err error) string {
	_, body, _ := strings.Cut(err.Error(), "caddy responded with error: HTTP ")
	var answer struct {
		Error string `json:"error"`
	}
	if _, body, _ = strings.Cut(body, ": "); json.Unmarshal([]byte(body), &answer) != nil {
		return ""
	}
	return answer.Error
}

// table writes rows below a heading.
func table(c *cobra.Command, heading []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(heading, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = plain(row[i])
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the list: %w", err)
	}
	return nil
}

func say(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintln(c.OutOrStdout(), plain(fmt.Sprintf(format, args...)))
}

// plain replaces what is not printable: names are their owners' choice, and a
// terminal obeys escape sequences.
func plain(s string) string {
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

// moment is a time as the operator's clock shows it.
func moment(t time.Time) string { return t.Local().Format(time.DateTime) }
