// caddy romm-oidc doctor.

package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
)

// The exit codes of doctor.
const (
	exitWell     = 0
	exitProblems = 1
	exitFailed   = 2
)

var errProblems = errors.New("there are problems")

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	config, adapter, token string
	envFiles               []string
	json, signIn           bool
	wait                   time.Duration
}

func doctorCommand() *cobra.Command {
	var flags doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Finds out why signing in does not work",
		Long: `
Looks at the configuration, at Authelia, at RomM and at the running Caddy, and
reports each finding with a code, what it saw, what it expected, and the line to
change. Run it where Caddy runs. With --config it looks at a file, before the
first start too; else at the running Caddy. At most one of its requests counts as
a failure at Authelia. With --sign-in it follows one sign-in through the running
Caddy instead; no token is shown. It exits with 0 if it found no problem, 1 if it did, and 2
if it could not look.
`,
		Example: "  caddy romm-oidc doctor --config Caddyfile --envfile .env",
		Args:    takes(),
	}
	c.RunE = caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
		if flags.signIn {
			report, err := follow(c, &flags)
			if err != nil {
				return exitFailed, fmt.Errorf("the doctor could not look: %w", err)
			}
			if err := printSignIn(c, report, flags.json); err != nil {
				return exitProblems, err
			}
			return exitWell, nil
		}
		report, err := examine(c, &flags)
		if err != nil {
			return exitFailed, fmt.Errorf("the doctor could not look: %w", err)
		}
		if printReport(c, report, flags.json); !report.Well() {
			return exitProblems, errProblems
		}
		return exitWell, nil
	})
	f := c.Flags()
	f.StringVar(&flags.config, "config", "", "the configuration file (default: what the running Caddy has)")
	f.StringVar(&flags.adapter, "adapter", "", "the adapter of that file (default: caddyfile, or none for a .json file)")
	f.StringSliceVar(&flags.envFiles, "envfile", nil, "files with environment variables, as for caddy run")
	f.StringVar(&flags.token, "romm-token", "", "a RomM token of an administrator, to look at the accounts too; {file./path} reads it from a file")
	f.BoolVar(&flags.json, "json", false, "print JSON")
	f.BoolVar(&flags.signIn, "sign-in", false, "print an address to open in a browser, and report each step of that sign-in, with the claims, the account and the role")
	f.DurationVar(&flags.wait, "wait", 5*time.Minute, "how long to wait for the sign-in of --sign-in, at most an hour")
	return c
}

// examine finds what the doctor needs, and runs it.
func examine(c *cobra.Command, flags *doctorFlags) (*doctor.Report, error) {
	for _, file := range flags.envFiles {
		if err := readEnvironment(file); err != nil {
			return nil, err
		}
	}
	repl := caddy.NewReplacer()
	version, _ := caddy.Version()
	in := doctor.Input{Version: version, Modules: foreignModules(), Replace: func(text string) (string, error) { return repl.ReplaceOrErr(text, true, true) }}
	var err error
	if in.RommToken, err = in.Replace(flags.token); err != nil && flags.token != "" {
		return nil, fmt.Errorf("--romm-token: %w", err)
	}
	if flags.config != "" {
		if in.Config, in.Text, err = readConfig(c, flags); err != nil {
			if _, ok := errors.AsType[adaptError](err); ok {
				return doctor.Refused(err.Error(), flags.config, in.Text), nil
			}
			return nil, err
		}
	}
	running, errRunning := runningConfig(c)
	if flags.config == "" {
		if errRunning != nil {
			return nil, fmt.Errorf("%w; or name a file with --config", errRunning)
		}
		in.Config = running
	}
	in.File = flags.config
	if errRunning == nil {
		in.Running = state(c)
	}
	report, err := doctor.Run(c.Context(), in)
	if err == nil && flags.config != "" && in.Running != nil && !same(running, in.Config) {
		report.Differs(flags.config)
	}
	return report, err
}

// printReport prints the findings, the worst first.
func printReport(c *cobra.Command, report *doctor.Report, asJSON bool) {
	slices.SortStableFunc(report.Findings, func(a, b doctor.Finding) int { return rank(a.Level) - rank(b.Level) })
	if asJSON {
		printJSON(c, report)
		return
	}
	for _, finding := range report.Findings {
		cause := doctor.Codes[finding.Code]
		say(c, "%s  %s", strings.ToUpper(string(finding.Level)), finding.Code)
		say(c, "  %s", cause.What)
		for _, detail := range [][2]string{{"site", finding.Site}, {"seen", finding.Seen}, {"expected", finding.Expected}, {"line", finding.Line}} {
			if detail[1] != "" {
				say(c, "  %-9s %s", detail[0], detail[1])
			}
		}
		for i, line := range strings.Split(finding.Write, "\n") {
			if line != "" {
				say(c, "  %-9s %s", map[bool]string{true: "write"}[i == 0], strings.ReplaceAll(line, "\t", "  "))
			}
		}
		if finding.Remove {
			say(c, "  %-9s nothing: remove the line, with what is in its braces", "write")
		}
		say(c, "  %-9s %s", "do", cause.Fix)
		say(c, "")
	}
	for _, fact := range report.Facts {
		say(c, "fact       %s", fact)
	}
	for _, checked := range report.Checked {
		say(c, "looked at  %s", checked)
	}
	for _, skipped := range report.Skipped {
		say(c, "skipped    %s", skipped)
	}
	if report.Well() {
		say(c, "No problem found.")
	}
}

func rank(level doctor.Level) int {
	return slices.Index([]doctor.Level{doctor.Problem, doctor.Warning, doctor.Note}, level)
}
