// The client of a running Caddy's admin API.

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

const (
	// responseLimit bounds a response body, in bytes.
	responseLimit = 64 << 20
	// timeout bounds a request. The admin API gives up earlier, and says why.
	timeout = 2 * time.Minute
)

// call is a request to the admin API.
type call struct {
	method string
	path   string
	query  url.Values // may be nil
}

// send sends r to the admin API at --address, for the gate of --gate, and
// decodes the response into v. It returns an error of the admin API as it is.
func send(c *cobra.Command, r call, v any) error {
	address, gate, err := flags(c)
	if err != nil {
		return err
	}
	query := url.Values{}
	maps.Copy(query, r.query)
	if gate != "" {
		query.Set("gate", gate)
	}
	r.query = query
	return exchange(c.Context(), address, r, v)
}

// sendPlain is send for a path that is Caddy's own and knows no gate.
func sendPlain(c *cobra.Command, path string, v any) error {
	address, _, err := flags(c)
	if err != nil {
		return err
	}
	return exchange(c.Context(), address, call{method: http.MethodGet, path: path}, v)
}

// exchange sends r to the admin API at address, and decodes the response into v.
// It takes the place of caddycmd.AdminAPIRequest, which returns an error response
// only as part of an error's text.
func exchange(ctx context.Context, address string, r call, v any) error {
	uri := r.path
	if len(r.query) > 0 {
		uri += "?" + r.query.Encode()
	}
	response, err := do(ctx, address, r.method, uri)
	if err != nil {
		return fmt.Errorf("asking the admin API of Caddy at %s: %w. Is Caddy running here, with its admin API on? See --address", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	body := json.NewDecoder(io.LimitReader(response.Body, responseLimit))
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if body.Decode(&refusal) == nil && refusal.Error != "" {
			return errors.New(refusal.Error)
		}
		return fmt.Errorf("asking the admin API of Caddy at %s: it answered %s", address, response.Status)
	}
	if err := body.Decode(v); err != nil {
		return fmt.Errorf("reading the admin API's response: %w", err)
	}
	return nil
}

// flags returns the address of the admin API, and the ID of the gate, "" for
// all of them.
func flags(c *cobra.Command) (address, gate string, err error) {
	if gate, err = c.Flags().GetString("gate"); err != nil {
		return "", "", fmt.Errorf("reading --gate: %w", err)
	}
	if address, err = c.Flags().GetString("address"); err != nil {
		return "", "", fmt.Errorf("reading --address: %w", err)
	}
	var config, adapter string
	if file := c.InheritedFlags().Lookup("config"); file != nil { // else the command has one of its own
		config, adapter = file.Value.String(), c.InheritedFlags().Lookup("adapter").Value.String()
	}
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/") // also accept a URL
	if address, err = caddycmd.DetermineAdminAPIAddress(address, nil, config, adapter); err != nil {
		return "", "", fmt.Errorf("finding the admin API: %w", err)
	}
	return address, gate, nil
}

// do sends a request to a Caddy network address, which may be a Unix socket.
// The caller closes the body of the response.
func do(ctx context.Context, address, method, uri string) (*http.Response, error) {
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, fmt.Errorf("parsing the address: %w", err)
	}
	if parsed.PortRangeSize() > 1 {
		return nil, errors.New("the address has more than one port")
	}
	origin := "http://" + parsed.JoinHostPort(0)
	if parsed.IsUnixNetwork() {
		origin = "http://127.0.0.1"                       // the host that Caddy expects on a socket
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // the socket's permissions
	}
	r, err := http.NewRequestWithContext(ctx, method, origin+uri, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	if !parsed.IsUnixNetwork() {
		r.Header.Set("Origin", origin) // Caddy may enforce it
	}
	client := http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
			},
		},
	}
	return client.Do(r)
}
