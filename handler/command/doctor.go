// caddy romm-oidc doctor.

package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
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
		if err := printReport(c, report, flags.json); err != nil {
			return exitFailed, err
		}
		if !report.Well() {
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
	in := doctor.Input{Version: version, Replace: func(text string) (string, error) { return repl.ReplaceOrErr(text, true, true) }}
	var err error
	if in.RommToken, err = in.Replace(flags.token); err != nil && flags.token != "" {
		return nil, fmt.Errorf("--romm-token: %w", err)
	}
	running, errRunning := runningConfig(c)
	if flags.config == "" {
		if errRunning != nil {
			return nil, fmt.Errorf("%w; or name a file with --config", errRunning)
		}
		in.Config = running
	} else if in.Config, in.Text, err = adaptFile(flags); err != nil {
		if _, ok := errors.AsType[adaptError](err); ok {
			return doctor.Refused(err.Error(), flags.config, in.Text), nil
		}
		return nil, err
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

// adaptError is the refusal of a configuration file by its adapter.
type adaptError struct{ error }

// adaptFile reads and adapts the configuration file.
func adaptFile(flags *doctorFlags) (config []byte, text string, err error) {
	content, err := os.ReadFile(flags.config)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	name := flags.adapter
	if name == "" && !strings.HasSuffix(flags.config, ".json") {
		name = "caddyfile"
	}
	if name == "" {
		return content, "", nil
	}
	adapter := caddyconfig.GetAdapter(name)
	if adapter == nil {
		return nil, "", fmt.Errorf("there is no adapter %q", name)
	}
	config, _, err = adapter.Adapt(content, map[string]any{"filename": flags.config})
	if err != nil {
		return nil, string(content), adaptError{err}
	}
	return config, string(content), nil
}

// readEnvironment sets the variables of a file as `caddy run --envfile` does, which
// removes comments and quotes, without overwriting any.
func readEnvironment(file string) error {
	content, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("--envfile: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		value, _, _ = strings.Cut(value, "#")
		value = strings.TrimRight(value, " \t")
		if quote := value[:min(1, len(value))]; quote == `"` || quote == "'" {
			value = strings.TrimSuffix(value[1:], quote)
		}
		if _, set := os.LookupEnv(name); !set {
			if err := os.Setenv(name, value); err != nil {
				return fmt.Errorf("--envfile: %w", err)
			}
		}
	}
	return nil
}

// runningConfig returns the configuration of the running Caddy.
func runningConfig(c *cobra.Command) ([]byte, error) {
	var config json.RawMessage
	if err := sendPlain(c, "/config/", &config); err != nil {
		return nil, err
	}
	return config, nil
}

// state returns what the running Caddy says of its gates.
func state(c *cobra.Command) *doctor.Running {
	running := &doctor.Running{TokenRequests: func(ctx context.Context) (known, unknown float64, err error) { return tokenRequests(ctx, c) }}
	var all []admin.Status
	if send(c, call{method: http.MethodGet, path: admin.StatusPath}, &all) != nil {
		return running // it has no gate
	}
	for _, s := range all {
		gate := doctor.State{Origin: s.Origin, StorageError: s.StorageError, KeysError: s.KeysError, ProviderError: s.Provider.Error, Mismatch: s.Provider.Mismatch}
		for _, work := range s.Background {
			if work.Error != "" {
				gate.Background = work.Work + ": " + work.Error
			}
		}
		running.Gates = append(running.Gates, gate)
	}
	return running
}

// tokenRequests reads the refused token requests of RomM's endpoint off the
// metrics.
func tokenRequests(ctx context.Context, c *cobra.Command) (known, unknown float64, err error) {
	address, _, err := flags(c)
	if err != nil {
		return 0, 0, err
	}
	response, err := do(ctx, address, http.MethodGet, "/metrics")
	if err != nil {
		return 0, 0, fmt.Errorf("reading the metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(io.LimitReader(response.Body, responseLimit))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		count, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil || !strings.HasPrefix(name, "caddy_romm_oidc_romm_requests_total{"):
		case strings.Contains(name, `outcome="token_request_refused"`):
			known += count
		case strings.Contains(name, `outcome="token_request_unknown"`):
			unknown += count
		}
	}
	return known, unknown, nil
}

// same reports whether two configurations in JSON are the same.
func same(a, b []byte) bool {
	var x, y map[string]any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// printReport prints the findings, the worst first.
func printReport(c *cobra.Command, report *doctor.Report, asJSON bool) error {
	slices.SortStableFunc(report.Findings, func(a, b doctor.Finding) int { return rank(a.Level) - rank(b.Level) })
	if asJSON {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(report); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		_, _ = c.OutOrStdout().Write(text.Bytes())
		return nil
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
	for _, checked := range report.Checked {
		say(c, "looked at  %s", checked)
	}
	for _, skipped := range report.Skipped {
		say(c, "skipped    %s", skipped)
	}
	if report.Well() {
		say(c, "No problem found.")
	}
	return nil
}

func rank(level doctor.Level) int {
	return slices.Index([]doctor.Level{doctor.Problem, doctor.Warning, doctor.Note}, level)
}
