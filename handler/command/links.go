// caddy romm-oidc links.

package command

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func linksCommand() *cobra.Command {
	links := &cobra.Command{Use: "links", Short: "Manages the links between users of the provider and RomM accounts", RunE: showHelp}
	links.AddCommand(
		&cobra.Command{Use: "list", Short: "Lists the links", Args: takes(), RunE: listLinks},
		&cobra.Command{Use: "move <RomM user or e-mail address> <subject>", Short: "Gives a RomM account to another subject", Args: takes("the RomM account, as links list shows it", "the new subject, as Caddy's log shows it"), RunE: moveLink},
		&cobra.Command{Use: "forget <e-mail address>", Short: "Removes a link", Args: takes("the e-mail address of the RomM account"), RunE: forgetLink},
	)
	return links
}

func listLinks(c *cobra.Command, _ []string) error {
	var links []admin.Link
	if err := send(c, call{method: http.MethodGet, path: admin.LinksPath}, &links); err != nil {
		return err
	}
	rows := make([][]string, len(links))
	for i, l := range links {
		rows[i] = []string{strconv.Itoa(l.ID), l.Username, l.Email, l.Issuer, l.Subject, l.Gate}
	}
	return table(c, []string{"ROMM ID", "ROMM USER", "E-MAIL", "ISSUER", "SUBJECT", "GATE"}, rows)
}

func moveLink(c *cobra.Command, args []string) error {
	var changed []admin.ChangedLink
	if err := send(c, call{http.MethodPatch, admin.LinksPath, url.Values{"account": {args[0]}, "sub": {args[1]}}}, &changed); err != nil {
		return err
	}
	for _, l := range changed {
		say(c, "Gate %s: RomM account %s (%s) is linked to subject %s. %s of its former user ended. A subject is what links list shows, not a user name.", l.Gate, l.Username, l.Email, l.Subject, counted(l.Ended))
	}
	return nil
}

func forgetLink(c *cobra.Command, args []string) error {
	var changed []admin.ChangedLink
	if err := send(c, call{http.MethodDelete, admin.LinksPath, url.Values{"email": {args[0]}}}, &changed); err != nil {
		return err
	}
	for _, l := range changed {
		say(c, "Gate %s: link removed. The next user to sign in with %s gets RomM account %s. %s of its former user ended.", l.Gate, l.Email, l.Username, counted(l.Ended))
	}
	return nil
}
