// The order of the examination.

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// Input is what the doctor looks at.
type Input struct {
	// Config is Caddy's configuration in JSON.
	Config []byte
	// File and Text are the Caddyfile's name and content, empty if the
	// configuration does not come from one. Findings then name lines of it.
	File, Text string
	// Replace replaces placeholders, as Caddy does at load.
	Replace func(string) (string, error)
	// Version is Caddy's, empty if it is not known.
	Version string
	// Modules are the modules in Caddy that are not its own.
	Modules []string
	// Running is what the running Caddy says of itself, nil before it runs.
	Running *Running
	// RommToken is a RomM token with users.read, to look at the accounts. It may
	// be empty.
	RommToken string
	// Lookup finds the addresses of a host, and Dial connects to one. Default:
	// the system's.
	Lookup func(ctx context.Context, host string) ([]string, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// Running is a running Caddy.
type Running struct {
	Gates []State
	// TokenRequests returns how many token requests RomM's endpoint refused so
	// far although they had the right secret, and because they had not.
	TokenRequests func(ctx context.Context) (known, unknown float64, err error)
}

// State is what a gate of a running Caddy says of itself.
type State struct {
	Origin                                             string
	StorageError, KeysError, ProviderError, Background string
	StorageTook                                        time.Duration // to lock it, to write and to delete
	Version                                            string        // of this module
	Nodes                                              []string      // seen in the storage

	Mismatch string // what did not go together with the provider the last time; empty: it did
}

// patience bounds each question to the network.
const patience = 10 * time.Second

// examination is a doctor at work.
type examination struct {
	*Report

	in    Input
	plain *http.Client // follows no redirects and keeps no cookies

	from, to int // the lines of the Caddyfile with the site that is examined
}

// Run looks at everything that in names.
func Run(ctx context.Context, in Input) (*Report, error) {
	var c config
	if err := json.Unmarshal(in.Config, &c); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if in.Lookup == nil {
		in.Lookup = net.DefaultResolver.LookupHost
	}
	if in.Dial == nil {
		in.Dial = new(net.Dialer).DialContext
	}
	e := &examination{
		Report: &Report{Findings: []Finding{}, Checked: []string{}, Skipped: []string{}, Facts: []string{}}, in: in,
		plain: &http.Client{
			Transport:     &http.Transport{DialContext: in.Dial, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	sites := e.configuration(&c)
	for _, s := range sites {
		e.turnTo(s.raw)
		provider := e.provider(ctx, s)
		e.romm(ctx, s)
		e.public(ctx, s, provider)
	}
	e.running()
	return e.Report, nil
}

// site is a gate's site, from all of its blocks.
type site struct {
	settings *settings.Settings // resolved
	origin   request.Origin
	name     string
	raw      json.RawMessage // the handler of its first block
	dials    []string        // RomM's addresses
	inside   []string        // addresses of the site for RomM
	trusted  bool            // its server has trusted_proxies
}

// turnTo notes where in the Caddyfile the site with a handler is, by its redirect_uri.
func (e *examination) turnTo(gate json.RawMessage) {
	e.from, e.to = 0, 0
	from, depth, found := 0, 0, false
	for i, line := range strings.Split(e.in.Text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if depth == 0 {
			from, found = i, false
		}
		found = found || fields[0] == "redirect_uri" && slices.Contains(fields, textOf(gate, "redirect_uri"))
		if fields[len(fields)-1] == "{" {
			depth++
		}
		if fields[0] == "}" {
			depth--
		}
		if depth == 0 && found {
			e.from, e.to = from, i
			return
		}
	}
}

// line returns the line of the Caddyfile that begins with word, or else word with
// value. Of several, it prefers one with value, and one in the site that is examined.
func (e *examination) line(word, value string) string {
	best, found := -1, strings.TrimSpace(word+" "+value)
	for i, line := range strings.Split(e.in.Text, "\n") {
		fields, fit := strings.Fields(line), 0
		if len(fields) == 0 || fields[0] != word {
			continue
		}
		if value != "" && strings.Contains(line, value) {
			fit += 2
		}
		if i >= e.from && i <= e.to {
			fit++
		}
		if fit > best {
			best, found = fit, fmt.Sprintf("%s:%d: %s", e.in.File, i+1, strings.TrimSpace(line))
		}
	}
	return found
}

// settingLine is line, but empty if the Caddyfile lacks the setting: then it is to
// be added.
func (e *examination) settingLine(word, value string) string {
	line := e.line(word, value)
	if e.in.Text != "" && line == strings.TrimSpace(word+" "+value) {
		return ""
	}
	return line
}

// siteLine returns the line of the Caddyfile in which the site with an address
// begins, or else the address.
func (e *examination) siteLine(address string) string {
	for i, line := range strings.Split(e.in.Text, "\n") {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[len(fields)-1] == "{" && slices.ContainsFunc(fields, func(field string) bool {
			return strings.TrimPrefix(strings.TrimSuffix(field, ","), "https://") == address
		}) {
			return fmt.Sprintf("%s:%d: %s", e.in.File, i+1, strings.TrimSpace(line))
		}
	}
	return address + " {"
}

// sorted returns the keys of m in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
