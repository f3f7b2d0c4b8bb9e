// What `caddy romm-oidc doctor` calls the likely cause of a problem.

package problem

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
}

// DoctorCode returns the code of the doctor that explains p, empty if the doctor
// cannot see its cause.
func (p *Problem) DoctorCode() string { return doctorCodes[p.Code] }

// OperatorHint returns the hint, and which code of the doctor to look for.
func (p *Problem) OperatorHint() string {
	code := p.DoctorCode()
	if p.Hint == "" || code == "" {
		return p.Hint
	}
	return p.Hint + " Or run caddy romm-oidc doctor, and look for " + code + "."
}
