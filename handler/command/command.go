// Package command is `caddy romm-oidc`, with which an operator manages a
// running Caddy's gates through its admin API.
package command

import (
	"fmt"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "romm-oidc",
		Usage: "setup | doctor | status | sessions list|end|end-user|end-all | links list|move|forget|trust | keys rotate [--gate <id>] [--json] [--config <path> [--adapter <name>]] [--address <interface>]",
		Short: "Sets up RomM gates, and manages those of a running Caddy",
		Long: `
Sets up a romm_oidc gate, and manages those of a running Caddy, through its admin API.

  setup [<folder>]               writes the files of a new installation into a new folder
  doctor                         finds out why signing in does not work: looks at the configuration, Authelia, RomM and
                                 the running Caddy; exits 1 if there is a problem, 2 if it could not look
  doctor --sign-in               follows one sign-in in a browser, and reports each of its steps
  status                         shows the state of each gate; exits 1 if the provider does not answer, the
                                 storage is not writable, or the keys in it cannot be used
  sessions list                  lists all sessions, with their users and times
  sessions end <id>              ends one session
  sessions end-user <user>       ends all sessions and access tokens of a user, given by their user name or
                                 subject at the provider, or their user name or e-mail address in RomM
  sessions end-all               ends all sessions and access tokens, after a question unless there is --yes
  links list                     shows which user of the provider has which RomM account, whether roles may
                                 make it an administrator's, and whether its tokens and password are refused
  links move <account> <subject> gives the RomM account with this e-mail address or user name to another
                                 subject of the provider
  links forget <account>         removes the link of the RomM account with this e-mail address or user name;
                                 the next user to sign in with its address gets the account
  links trust <account>          lets roles make the RomM account with this e-mail address or user name an
                                 administrator's, although it existed before its link
  keys rotate                    creates new keys; they come into use within the hour and end no session

Ending a session closes its sockets and transfers, on all nodes that share a storage.

The commands find the admin API as caddy reload does: at --address, else where the configuration file of
--config says, else at Caddy's default address. With --json they print what the admin API answers.

They exit with 0 if they did what they were asked for, and with 1 if not: the admin API does not answer or
refuses, an argument is wrong, or status found a problem. An error is one line on standard error.
`,
		CobraFunc: func(c *cobra.Command) {
			c.PersistentFlags().String("address", "", "The address of the admin API (default: that of Caddy's default configuration)")
			c.PersistentFlags().String("config", "", "The configuration file that says where the admin API is")
			c.PersistentFlags().String("adapter", "", "The adapter of that file (default: caddyfile for a Caddyfile, else none)")
			c.PersistentFlags().Bool("json", false, "Print JSON")
			c.PersistentFlags().String("gate", "", "The ID of one gate, as status shows it (default: all gates)")
			c.RunE = showHelp
			c.AddCommand(
				&cobra.Command{Use: "status", Short: "Shows the state of each gate", Args: takes(), RunE: showStatus},
				setupCommand(), doctorCommand(), sessionsCommand(), linksCommand(), keysCommand(),
			)
		},
	})
}

// showHelp runs a command that only has subcommands. An unknown subcommand is
// an error, so that a script does not take it for a success.
func showHelp(c *cobra.Command, args []string) error {
	if len(args) > 0 && args[0] != "help" {
		return fmt.Errorf("%s knows no %q: see %s --help", c.CommandPath(), args[0], c.CommandPath())
	}
	return c.Help()
}

// takes requires exactly as many arguments as there are descriptions.
func takes(descriptions ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == len(descriptions):
			return nil
		case len(descriptions) == 0:
			return fmt.Errorf("%s takes no argument, and was given %q", c.CommandPath(), args)
		}
		return fmt.Errorf("%s takes %s: see %s --help", c.CommandPath(), strings.Join(descriptions, ", and "), c.CommandPath())
	}
}
