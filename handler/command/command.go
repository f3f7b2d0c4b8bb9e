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
	"text/tabwriter"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "romm-oidc",
		Usage: "links list|forget | keys rotate [--address <interface>]",
		Short: "Manages the RomM gates of a running Caddy",
		Long: `
Manages the romm_oidc gates of a running Caddy, through its admin API.

  links list              lists which user of the provider is linked to which RomM account
  links forget <address>  removes the link of the RomM account with this e-mail address;
                          whoever signs in with the address next is linked to it
  keys rotate             makes new keys; they come into use within the hour and end no session
`,
		CobraFunc: func(c *cobra.Command) {
			c.PersistentFlags().String("address", "", "The address of the admin API (default: that of the default configuration)")
			links := &cobra.Command{Use: "links", Short: "Manages the links between users and RomM accounts"}
			links.AddCommand(
				&cobra.Command{Use: "list", Short: "Lists the links", Args: cobra.NoArgs, RunE: listLinks},
				&cobra.Command{Use: "forget <e-mail address>", Short: "Removes a link", Args: cobra.ExactArgs(1), RunE: forgetLink},
			)
			c.AddCommand(links, keys())
		},
	})
}

func listLinks(c *cobra.Command, _ []string) error {
	var links []admin.Link
	if err := ask(c, http.MethodGet, admin.LinksPath, &links); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ROMM ID\tROMM USER\tE-MAIL\tISSUER\tSUBJECT\tGATE")
	for _, l := range links {
		_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Username, l.Email, l.Issuer, l.Subject, l.Gate)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the list: %w", err)
	}
	return nil
}

func forgetLink(c *cobra.Command, args []string) error {
	var result struct {
		Forgotten int `json:"forgotten"`
	}
	if err := ask(c, http.MethodDelete, admin.LinksPath+"?email="+url.QueryEscape(args[0]), &result); err != nil {
		return err
	}
	if result.Forgotten == 0 {
		return errors.New("no link has this e-mail address: see links list")
	}
	_, _ = fmt.Fprintln(c.OutOrStdout(), "Forgotten. Whoever signs in with this address next is linked to the RomM account.")
	return nil
}

// answerLimit bounds what is read of an answer, in bytes.
const answerLimit = 64 << 20

// ask asks the admin API and decodes its answer into v.
func ask(c *cobra.Command, method, path string, v any) error {
	address, err := c.Flags().GetString("address")
	if err != nil {
		return fmt.Errorf("reading --address: %w", err)
	}
	if address, err = caddycmd.DetermineAdminAPIAddress(address, nil, "", ""); err != nil {
		return fmt.Errorf("finding the admin API: %w", err)
	}
	answer, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return fmt.Errorf("asking the admin API: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(answer.Body, answerLimit)).Decode(v); err != nil {
		return fmt.Errorf("reading the admin API's answer: %w", err)
	}
	return nil
}
