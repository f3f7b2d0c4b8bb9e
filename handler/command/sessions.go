// caddy romm-oidc sessions.

package command

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func sessionsCommand() *cobra.Command {
	sessions := &cobra.Command{Use: "sessions", Short: "Manages the sessions of signed-in users", RunE: showHelp}
	sessions.AddCommand(
		&cobra.Command{Use: "list", Short: "Lists the sessions", Args: takes(), RunE: listSessions},
		&cobra.Command{Use: "end <id>", Short: "Ends a session", Args: takes("the id of the session, as sessions list shows it"), RunE: func(c *cobra.Command, args []string) error {
			return endSessions(c, admin.SessionsPath+"/"+url.PathEscape(args[0]), nil)
		}},
		&cobra.Command{Use: "end-user <user>", Short: "Ends all sessions of a user", Args: takes("the user's name, subject or e-mail address"), RunE: func(c *cobra.Command, args []string) error {
			return endSessions(c, admin.SessionsPath, url.Values{"user": args})
		}},
		endAllCommand(),
	)
	return sessions
}

// errNotConfirmed is the error of end-all without --yes or the word yes.
var errNotConfirmed = errors.New("no session ended: answer yes, or add --yes")

func endAllCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{Use: "end-all", Short: "Ends all sessions", Args: takes(), RunE: func(c *cobra.Command, _ []string) error {
		if !yes {
			_, _ = fmt.Fprint(c.ErrOrStderr(), "This signs all users out, closes their sockets and transfers, and ends all access tokens. Type yes to go on: ")
			answer, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n')
			if strings.TrimSpace(answer) != "yes" {
				return errNotConfirmed
			}
		}
		return endSessions(c, admin.SessionsPath, url.Values{"all": {"true"}})
	}}
	c.Flags().BoolVar(&yes, "yes", false, "Do not ask")
	return c
}

func listSessions(c *cobra.Command, _ []string) error {
	var sessions []admin.Session
	if err := send(c, call{method: http.MethodGet, path: admin.SessionsPath}, &sessions); err != nil {
		return err
	}
	if printed(c, sessions) {
		return nil
	}
	rows := make([][]string, len(sessions))
	for i, s := range sessions {
		rows[i] = []string{s.ID, s.User, local(s.Created), local(s.LastSeen), local(s.Expires), s.Node, s.Gate}
	}
	return table(c, []string{"ID", "USER", "SIGNED IN", "LAST SEEN", "EXPIRES", "NODE", "GATE"}, rows)
}

func endSessions(c *cobra.Command, path string, query url.Values) error {
	var all []admin.Ended
	if err := send(c, call{http.MethodDelete, path, query}, &all); err != nil {
		return err
	}
	if printed(c, all) {
		return nil
	}
	for _, gate := range all {
		tokens := ""
		if gate.Tokens > 0 {
			tokens = fmt.Sprintf(" Access tokens of the provider that ended: %d.", gate.Tokens)
		}
		say(c, "Gate %s: %s ended.%s", gate.Gate, counted(gate.Ended), tokens)
	}
	return nil
}
