// What the doctor looks at: the file, its environment, and the running Caddy.

package command

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
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

// foreignModules returns the modules in this Caddy that are not its own.
func foreignModules() (names []string) {
	for _, name := range caddy.Modules() {
		info, err := caddy.GetModule(name)
		if err != nil {
			continue // it is not there
		}
		kind := reflect.TypeOf(info.New())
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if !strings.HasPrefix(kind.PkgPath(), "github.com/caddyserver/caddy/v2") {
			names = append(names, name)
		}
	}
	return names
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

// readConfig is adaptFile. It also sets --address, if the operator did not, to that of
// the admin API in the file.
func readConfig(c *cobra.Command, flags *doctorFlags) (config []byte, text string, err error) {
	config, text, err = adaptFile(flags)
	address := c.Flags().Lookup("address")
	if err != nil || address.Changed {
		return config, text, err
	}
	found, err := caddycmd.DetermineAdminAPIAddress("", config, flags.config, "")
	if err != nil {
		return nil, text, fmt.Errorf("finding the admin API: %w", err)
	}
	return config, text, address.Value.Set(found) //nolint:wrapcheck // a string accepts all
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
		gate := doctor.State{
			Origin: s.Origin, StorageError: s.StorageError, KeysError: s.KeysError, ProviderError: s.Provider.Error, Mismatch: s.Provider.Mismatch,
			StorageTook: time.Duration(s.StorageTook) * time.Millisecond, Version: s.Version, Nodes: s.Nodes,
		}
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
