// caddy romm-oidc setup.

package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/romm-oidc/caddy-romm-oidc/handler/setup"
)

// setupFlags are the flags of setup that say nothing about the installation.
type setupFlags struct {
	print, json, check bool
	passwordFile       string
}

func setupCommand() *cobra.Command {
	var plan setup.Plan
	var flags setupFlags
	c := &cobra.Command{
		Use:   "setup [<folder>]",
		Short: "Writes the files of a new installation",
		Long: `
Writes the files with which Caddy, Authelia and RomM work together, into a new
folder (by default romm-oidc): the Caddyfile, compose.yml, .env with the
secrets, Authelia's configuration and first user, and RomM's variables. It
never overwrites a file. On a terminal, it asks for what no flag says.
`,
		Example: "  caddy romm-oidc setup --site https://romm.example.com --authelia https://auth.example.com --admin you@example.com",
		RunE:    func(c *cobra.Command, args []string) error { return runSetup(c, args, &plan, &flags) },
	}
	f := c.Flags()
	f.StringVar(&plan.Site, "site", "", "RomM's public address, for instance https://romm.example.com")
	f.StringVar(&plan.Authelia, "authelia", "", "Authelia's public address, for instance https://auth.example.com")
	f.StringVar(&plan.Admin, "admin", "", "the e-mail address of RomM's administrator, as Authelia has it")
	f.StringVar(&plan.Group, "group", "", "the group at Authelia that may use the site (default: every user of Authelia)")
	f.BoolVar(&plan.AutheliaExists, "authelia-exists", false, "Authelia runs already: write the client for its configuration only")
	f.BoolVar(&plan.RommExists, "romm-exists", false, "RomM runs already: write the variables for its environment only")
	f.BoolVar(&plan.OnHost, "no-containers", false, "Caddy runs on this machine, not in a container")
	f.StringVar(&plan.AdminName, "admin-name", "", "the administrator's login at a new Authelia (default: what stands before the \"@\" of --admin)")
	f.StringVar(&flags.passwordFile, "password-file", "", "a file with the password of that login (default: a random one, which setup prints)")
	f.StringVar(&plan.Policy, "policy", "", "one_factor or two_factor (default: one_factor at a new Authelia, else two_factor)")
	f.BoolVar(&plan.PrivateKey, "private-key-jwt", false, "the client has a key in place of a secret at Authelia, which reads it from the site over https")
	f.StringVar(&plan.RommAddress, "romm-address", "", "where Caddy reaches RomM (default: romm:8080, or 127.0.0.1:8080 without containers)")
	f.StringVar(&plan.AutheliaAddress, "authelia-address", "", "where Caddy reaches Authelia, if not at its public address (default for a new one: http://authelia:9091)")
	f.StringVar(&plan.CaddyAddress, "caddy-address", "", "where RomM reaches Caddy (default: http://caddy:9080, or http://127.0.0.1:9080 without containers)")
	f.StringVar(&plan.Image, "image", "", "an image of Caddy with the module (default: compose builds one)")
	f.StringVar(&plan.Network, "network", "", "the container network that RomM or Authelia is in already")
	f.BoolVar(&flags.print, "print", false, "print the files, and write none")
	f.BoolVar(&flags.check, "check", false, "run the doctor on what was written; exits with 1 if it finds a problem")
	f.BoolVar(&flags.json, "json", false, "print JSON")
	return c
}

func runSetup(c *cobra.Command, args []string, plan *setup.Plan, flags *setupFlags) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes one folder, and was given %q", c.CommandPath(), args)
	}
	folder := "romm-oidc"
	if len(args) == 1 {
		folder = args[0]
	}
	var err error
	if plan.Folder, err = filepath.Abs(folder); err != nil {
		return fmt.Errorf("finding the folder: %w", err)
	}
	if plan.Password, err = readPassword(flags.passwordFile); err != nil {
		return err
	}
	if complete := plan.Site != "" && plan.Authelia != "" && plan.Admin != ""; !complete && interactive(c.InOrStdin()) {
		if err := plan.Ask(c.InOrStdin(), c.ErrOrStderr(), c.Flags().Changed); err != nil {
			return err
		}
	}
	made, err := setup.Make(*plan)
	if err != nil {
		return err
	}
	if !flags.print {
		if err := write(plan.Folder, made.Files); err != nil {
			return err
		}
	}
	if report(c, plan, made, flags); !flags.check || flags.print {
		return nil
	}
	config := filepath.Join(plan.Folder, "Caddyfile")
	findings, err := examine(c, &doctorFlags{config: config, envFiles: []string{filepath.Join(plan.Folder, ".env")}})
	if err != nil {
		return err
	}
	if printReport(c, findings, flags.json); !findings.Well() {
		return errProblems
	}
	return nil
}

// readPassword reads the password of the first user, if a file is named.
func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	password := strings.TrimRight(string(content), "\r\n")
	if password == "" {
		return "", fmt.Errorf("--password-file: %s is empty", file)
	}
	return password, nil
}

// interactive reports whether in is a terminal.
func interactive(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// write writes files into a folder that is new or empty. It overwrites nothing,
// and leaves nothing behind if it fails.
func write(folder string, files []setup.File) (err error) {
	if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already, and setup overwrites nothing: name a folder that is new or empty", folder)
	}
	var made []string
	defer func() {
		for _, path := range slices.Backward(made) {
			if err != nil {
				_ = os.Remove(path)
			}
		}
	}()
	for _, file := range files {
		path := filepath.Join(folder, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // files that hold secrets have modes of their own
			return fmt.Errorf("creating the folder of %s: %w", file.Name, err)
		}
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, file.Mode) //nolint:gosec // the operator names the folder
		if err != nil {
			return fmt.Errorf("creating %s: %w", file.Name, err)
		}
		made = append(made, path)
		if _, err = out.WriteString(file.Content); err == nil {
			err = out.Sync()
		}
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", file.Name, err)
		}
	}
	return nil
}

// report prints what setup did and what comes next.
func report(c *cobra.Command, plan *setup.Plan, made *setup.Setup, flags *setupFlags) {
	if !flags.print {
		for i := range made.Files {
			made.Files[i].Content = ""
		}
	}
	if flags.json {
		printJSON(c, struct {
			Folder string `json:"folder"`
			*setup.Setup
		}{plan.Folder, made})
		return
	}
	for _, file := range made.Files {
		if flags.print {
			_, _ = fmt.Fprintf(c.OutOrStdout(), "==> %s <==\n%s\n", file.Name, file.Content)
			continue
		}
		note := ""
		if file.Secret {
			note = "  (secrets, for its owner only)"
		}
		say(c, "wrote %s%s", filepath.Join(plan.Folder, filepath.FromSlash(file.Name)), note)
	}
	if made.User != "" {
		say(c, "")
		say(c, "Sign in as %s with the password %s", made.User, made.Password)
	}
	if len(made.Steps) > 0 {
		say(c, "")
	}
	for _, step := range made.Steps {
		say(c, "%s", step)
	}
	say(c, "")
	say(c, "Then type:")
	for _, command := range made.Commands {
		say(c, "  %s", command)
	}
	say(c, "and open %s", made.Site)
}
