// caddy romm-oidc doctor --sign-in.

package command

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/handler/watch"
)

// followPause is how long the command waits between two questions.
const followPause = 500 * time.Millisecond

// errNotCome says that the user did not open the address, or did not come back from
// the provider.
var errNotCome = errors.New("no sign-in ended in time")

// follow has the running Caddy wait for a sign-in, and prints what happens to it.
func follow(c *cobra.Command, flags *doctorFlags) (*watch.Report, error) {
	if flags.config != "" {
		if _, _, err := readConfig(c, flags); err != nil {
			return nil, err
		}
	}
	var followed admin.Followed
	if err := send(c, call{http.MethodPost, admin.SignInPath, url.Values{"wait": {flags.wait.String()}}}, &followed); err != nil {
		return nil, err
	}
	if flags.json {
		_, _ = fmt.Fprintln(c.ErrOrStderr(), followed.Address)
	} else {
		say(c, "Open this address in a browser, and sign in as the user in question:")
		say(c, "  %s", followed.Address)
		say(c, "Waiting for %s. Ctrl-C stops the waiting only.", flags.wait)
		say(c, "")
	}
	var report watch.Report
	told := 0
	for end := time.Now().Add(flags.wait); ; {
		if err := send(c, call{http.MethodGet, admin.SignInPath, url.Values{"marker": {followed.Marker}, "gate": {followed.Gate}}}, &report); err != nil {
			return nil, err
		}
		for ; told < len(report.Steps) && (report.Done || report.Steps[told].Took == 0) && !flags.json; told++ {
			printStep(c, report.Steps[told])
		}
		if report.Done || time.Now().After(end) {
			return &report, nil
		}
		select {
		case <-time.After(followPause):
		case <-c.Context().Done():
			return nil, fmt.Errorf("waiting for the sign-in: %w", c.Context().Err())
		}
	}
}

func printStep(c *cobra.Command, step watch.Step) {
	took, failed := "", ""
	if step.Took > 0 {
		took = "took " + step.Took.Round(time.Millisecond/10).String()
	}
	if step.Failed {
		failed = ", failed"
	}
	say(c, "%8.1f s  %s", step.At.Seconds(), strings.TrimSpace(fmt.Sprintf("%-26s %s%s", step.Name, took, failed)))
}

// printSignIn prints what came of a sign-in.
func printSignIn(c *cobra.Command, report *watch.Report, asJSON bool) error {
	if asJSON {
		printed(c, report)
	} else {
		printOutcome(c, report)
	}
	switch {
	case !report.Done:
		return errNotCome
	case report.Refusal != nil:
		return errors.New("the sign-in failed: " + report.Refusal.Code)
	}
	return nil
}

func printOutcome(c *cobra.Command, report *watch.Report) {
	say(c, "")
	if r := report.Request; r != nil {
		say(c, "request    from %s, over a connection from %s, for %s", r.Client, r.Peer, r.Host)
		if r.Forwarded != "" {
			say(c, "proxy      one is in between: its %s came", r.Forwarded)
		}
		if r.Forwarded != "" && r.Client == r.Peer {
			say(c, "WARNING    Caddy does not believe that proxy, so that all visitors count as one address: list it in trusted_proxies")
		}
	}
	if claims := report.Claims; claims != nil {
		say(c, "claims     sub %s, preferred_username %q, email %q, name %q, groups %q", claims.Subject, claims.Username, claims.Email, claims.Name, claims.Groups)
		if len(claims.Lacking) > 0 {
			say(c, "lacking    the scopes %s did not come", strings.Join(claims.Lacking, " "))
		}
		say(c, "role       %s", cmp.Or(report.Role, "none: roles is not set, or no entry fits"))
	}
	if account := report.Account; account != nil {
		say(c, "account    %d, %q with %q, %s", account.ID, account.Username, account.Email, cmp.Or(account.Role, "its role is not known"))
	} else if report.Claims != nil {
		say(c, "account    none is linked to this user")
	}
	switch refusal := report.Refusal; {
	case !report.Done && len(report.Steps) == 0:
		say(c, "No browser opened the address. If you did open it, then something else answers the site's public address: run caddy romm-oidc doctor.")
	case !report.Done:
		say(c, "The browser did not come back from the provider. Its page says why; else compare the redirect URI that the provider has registered.")
	case refusal == nil:
		say(c, "RomM       signed the user in. No problem found.")
	default:
		say(c, "PROBLEM    %s: %s", refusal.Code, refusal.Title)
		for _, detail := range [][2]string{{"cause", refusal.Cause}, {"do", refusal.Hint}, {"doctor", refusal.Doctor}} {
			if detail[1] != "" {
				say(c, "%-10s %s", detail[0], detail[1])
			}
		}
	}
}
