// Which code of the doctor a refusal names, by its cause.

package problem_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// discover returns what the gate says if the provider's metadata are served by h.
func discover(t *testing.T, h http.HandlerFunc) error {
	t.Helper()
	provider := httptest.NewServer(h)
	defer provider.Close()
	client, err := flow.NewClient(flow.ClientConfig{Issuer: provider.URL})
	if err != nil {
		t.Fatal(err)
	}
	return flow.New(flow.Config{Issuer: provider.URL, ClientID: "romm", Client: client}).Discover(t.Context())
}

func TestDoctorCodeFollowsTheCause(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	unknown := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "auth.example.com", IsNotFound: true}
	}}}
	refused := func(code, description string) error {
		return &flow.AuthorizationError{Code: code, Description: description}
	}
	for want, err := range map[string]error{
		"authelia_dns":          flow.New(flow.Config{Issuer: "https://auth.example.com", ClientID: "romm", Client: unknown}).Discover(t.Context()),
		"authelia_forwarded":    discover(t, answer(http.StatusBadRequest, "")),
		"authelia_metadata":     discover(t, answer(http.StatusNotFound, "")),
		"authelia_endpoints":    discover(t, answer(http.StatusOK, `{}`)),
		"authelia_unreachable":  discover(t, answer(http.StatusBadGateway, "")),
		"authelia_issuer":       discover(t, answer(http.StatusOK, `{"issuer":"https://login.example.com"}`)),
		"authelia_scope":        refused("invalid_scope", "The requested scope is invalid."),
		"authelia_redirect_uri": refused("invalid_request", "The 'redirect_uri' parameter does not match."),
		"authelia_client_id":    refused("unauthorized_client", "unknown"),
		"authelia_refused":      refused("invalid_request", "no"),
		"caddy_keys":            problem.StorageUnavailable.Because(errors.New("keyring.json cannot be used: it is of a later version; update Caddy")),
		"config_second_gate":    &problem.Problem{Code: "romm_unreachable", Cause: errors.New("two romm_oidc directives handle this request")},
	} {
		p := problem.Of(err)
		if got := p.DoctorCode(); got != want || doctor.Codes[got].What == "" {
			t.Errorf("%v: got the doctor's code %q, want %s", err, got, want)
		}
	}
	if hint := problem.IDTokenInvalid.OperatorHint(); hint != "Run caddy romm-oidc doctor, and look for authelia_clock." {
		t.Errorf("a problem without a hint of its own says %q", hint)
	}
}
