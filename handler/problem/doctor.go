// What `caddy romm-oidc doctor` calls the likely cause of a problem.

package problem

import "strings"

// doctorCodes are the codes of the doctor that explain a problem, by its code.
//
//nolint:gosec // codes, no credentials
var doctorCodes = map[string]string{
	"application_away":        "romm_unreachable",
	"client_refused":          "authelia_client_secret",
	"id_token_invalid":        "authelia_clock",
	"misdirected":             "site_host_changed",
	"no_administrator":        "romm_no_administrator",
	"provider_refused":        "authelia_scope",
	"provider_unavailable":    "authelia_unreachable",
	"rewritten":               "config_rewrite",
	"roles_ignored":           "romm_roles_off",
	"roles_version":           "romm_version_roles",
	"romm_cannot_reach_caddy": "romm_cannot_reach_caddy",
	"romm_client_secret":      "romm_client_secret",
	"romm_oidc_off":           "romm_oidc_off",
	"romm_points_elsewhere":   "romm_points_elsewhere",
	"romm_refused":            "romm_clock",
	"romm_unreachable":        "romm_unreachable",
	"state_lost":              "site_host_changed",
	"storage_unavailable":     "caddy_storage",
	"too_many_sign_ins":       "authelia_rate_limit",
}

// doctorCauses are the codes of the doctor that explain a problem better if its cause
// has this text.
var doctorCauses = []struct{ code, text, doctor string }{
	{"application_away", "nothing behind romm_oidc", "config_no_proxy"},
	{"client_refused", "does not allow this method", "authelia_client_auth"},
	{"id_token_invalid", "signature", "authelia_keys"},
	{"provider_refused", "invalid_scope", "authelia_scope"},
	{"provider_refused", "redirect_uri", "authelia_redirect_uri"},
	{"provider_refused", "invalid_client", "authelia_client_id"},
	{"provider_refused", "unauthorized_client", "authelia_client_id"},
	{"provider_refused", "", "authelia_refused"},
	{"provider_unavailable", "no such host", "authelia_dns"},
	{"provider_unavailable", "certificate", "authelia_certificate"},
	{"provider_unavailable", "name another issuer", "authelia_issuer"},
	{"provider_unavailable", "unavailable: its metadata: ", "authelia_endpoints"},
	{"provider_unavailable", "it answered 400", "authelia_forwarded"},
	{"provider_unavailable", "it answered 4", "authelia_metadata"},
	{"provider_unavailable", "JSON", "authelia_metadata"},
	{"romm_unreachable", "nothing behind romm_oidc", "config_no_proxy"},
	{"romm_unreachable", "two romm_oidc", "config_second_gate"},
	{"storage_unavailable", "cannot be used", "caddy_keys"},
}

// DoctorCode returns the code of the doctor that explains p, empty if the doctor
// cannot see its cause.
func (p *Problem) DoctorCode() string {
	if p.Doctor != "" {
		return p.Doctor
	}
	if p.Cause != nil {
		cause := p.Cause.Error()
		for _, row := range doctorCauses {
			if row.code == p.Code && strings.Contains(cause, row.text) {
				return row.doctor
			}
		}
	}
	return doctorCodes[p.Code]
}

// OperatorHint returns the hint, and which code of the doctor to look for.
func (p *Problem) OperatorHint() string {
	code := p.DoctorCode()
	switch {
	case code == "":
		return p.Hint
	case p.Hint == "":
		return "Run caddy romm-oidc doctor, and look for " + code + "."
	}
	return p.Hint + " Or run caddy romm-oidc doctor, and look for " + code + "."
}
