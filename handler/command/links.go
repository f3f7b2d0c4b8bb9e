// caddy romm-oidc links.

package command

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

func linksCommand() *cobra.Command {
	links := &cobra.Command{Use: "links", Short: "Manages the links between users of the provider and RomM accounts", RunE: showHelp}
	links.AddCommand(
		&cobra.Command{Use: "list", Short: "Lists the links", Args: takes(), RunE: listLinks},
		&cobra.Command{Use: "move <RomM user or e-mail address> <subject>", Short: "Gives a RomM account to another subject", Args: takes("the RomM account, as links list shows it", "the new subject, as Caddy's log shows it"), RunE: moveLink},
		&cobra.Command{Use: "forget <RomM user or e-mail address>", Short: "Removes a link", Args: takes("the e-mail address of the RomM account, or its user name"), RunE: forgetLink},
		&cobra.Command{Use: "trust <RomM user or e-mail address>", Short: "Lets roles make a RomM account that existed before its link an administrator's", Args: takes("the RomM account, as links list shows it"), RunE: trustLink},
	)
	return links
}

func listLinks(c *cobra.Command, _ []string) error {
	var links []admin.Link
	if err := send(c, call{method: http.MethodGet, path: admin.LinksPath}, &links); err != nil {
		return err
	}
	if printed(c, links) {
		return nil
	}
	rows := make([][]string, len(links))
	for i, l := range links {
		rows[i] = []string{strconv.Itoa(l.ID), l.Username, l.Email, l.Issuer, l.Subject, stateOf(&l.Link), l.Gate}
	}
	return table(c, []string{"ROMM ID", "ROMM USER", "E-MAIL", "ISSUER", "SUBJECT", "STATE", "GATE"}, rows)
}

// stateOf describes a link: whether roles may make its account an administrator's,
// and whether the account's tokens and passwords are refused. An account that the
// gate's sign-in created may become one only while it has no password.
func stateOf(link *romm.Link) string {
	state := "not trusted"
	switch {
	case link.Waiting:
		state = "waiting for trust"
	case link.Trusted:
		state = "trusted"
	case link.Made:
		state = "created here"
	}
	if link.Shut {
		state += ", shut"
	}
	return state
}

func trustLink(c *cobra.Command, args []string) error {
	var trusted []admin.Link
	if err := send(c, call{http.MethodPost, admin.TrustPath, url.Values{"account": {args[0]}}}, &trusted); err != nil {
		return err
	}
	if printed(c, trusted) {
		return nil
	}
	for _, l := range trusted {
		say(c, "Gate %s: RomM account %s (%s) of subject %s is trusted. Roles can make it an administrator's at the next sign-in. Its password and its tokens stay valid, whichever person set them.", l.Gate, l.Username, l.Email, l.Subject)
	}
	return nil
}

func moveLink(c *cobra.Command, args []string) error {
	var changed []admin.ChangedLink
	if err := send(c, call{http.MethodPatch, admin.LinksPath, url.Values{"account": {args[0]}, "sub": {args[1]}}}, &changed); err != nil {
		return err
	}
	if printed(c, changed) {
		return nil
	}
	for _, l := range changed {
		say(c, "Gate %s: RomM account %s (%s) is linked to subject %s. %s of its former user ended. A subject is what links list shows, not a user name.", l.Gate, l.Username, l.Email, l.Subject, counted(l.Ended))
	}
	return nil
}

func forgetLink(c *cobra.Command, args []string) error {
	var changed []admin.ChangedLink
	if err := send(c, call{http.MethodDelete, admin.LinksPath, url.Values{"account": {args[0]}}}, &changed); err != nil {
		return err
	}
	if printed(c, changed) {
		return nil
	}
	for _, l := range changed {
		say(c, "Gate %s: link removed. The next user to sign in with %s gets RomM account %s. %s of its former user ended.", l.Gate, l.Email, l.Username, counted(l.Ended))
	}
	return nil
}
