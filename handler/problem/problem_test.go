// Which problem an error becomes.

package problem_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/doctor"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// A certificate that Caddy does not trust is the provider's own authority most of
// the time: the hint names tls_ca.
func TestUntrustedCertificateNamesTLSCA(t *testing.T) {
	t.Parallel()
	provider := httptest.NewTLSServer(nil)
	defer provider.Close()
	client, err := flow.NewClient(flow.ClientConfig{Issuer: provider.URL})
	if err != nil {
		t.Fatal(err)
	}
	err = flow.New(flow.Config{Issuer: provider.URL, ClientID: "romm", Client: client}).Discover(t.Context())
	if p := problem.Of(err); p.Code != "provider_unavailable" || !strings.Contains(p.Hint, "tls_ca /path/root.crt") {
		t.Errorf("got the problem %s with the hint %q, want provider_unavailable with tls_ca: %v", p.Code, p.Hint, err)
	}
}

// A refusal names a code that the doctor has.
func TestDoctorCodesOfProblems(t *testing.T) {
	t.Parallel()
	for _, p := range []*problem.Problem{problem.ClientRefused, problem.ProviderUnavailable, problem.IDTokenInvalid, problem.StorageUnavailable, problem.StateLost, problem.ApplicationAway, problem.ProviderRefused} {
		if _, ok := doctor.Codes[p.DoctorCode()]; !ok {
			t.Errorf("the problem %s names the doctor's code %q, which does not exist", p.Code, p.DoctorCode())
		}
		if p.Hint != "" && !strings.Contains(p.OperatorHint(), "look for "+p.DoctorCode()+".") {
			t.Errorf("the hint of %s does not name %s: %s", p.Code, p.DoctorCode(), p.OperatorHint())
		}
	}
	if problem.NotAllowed.DoctorCode() != "" || problem.NotAllowed.OperatorHint() != problem.NotAllowed.Hint {
		t.Error("not_allowed names a code of the doctor, which cannot see its cause")
	}
}
