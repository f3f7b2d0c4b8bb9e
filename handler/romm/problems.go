// The problems that RomM can have with a sign-in or a credential, by their code.

package romm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// What RomM, or something between the gate and RomM, can refuse. Each hint says
// what the operator can do.
var (
	errUnreachable = &problem.Problem{
		Code: "romm_unreachable", Status: http.StatusBadGateway, Away: true, Title: "RomM does not answer as expected",
		Text: "You are known to {provider}, but RomM did not answer. This page tries again by itself.", Way: problem.WayRetry, Retry: 5 * time.Second,
		Hint: "RomM may be starting, or something between Caddy and RomM answers in its place. The directives behind romm_oidc must pass /api/* on to RomM unchanged.",
	}
	errBusy = &problem.Problem{
		Code: "romm_busy", Status: http.StatusServiceUnavailable, Away: true, Title: "RomM does not answer",
		Text: "Your token or password cannot be checked right now.", Retry: 5 * time.Second,
		Hint: "RomM may be starting, or has too much to do.",
	}
	errOwnerUnknown = &problem.Problem{
		Code: "token_owner_unknown", Status: http.StatusServiceUnavailable, Title: "RomM does not say who owns this token",
		Text: "This token may not read its own account, so this site cannot tell whether its user may still use it. Make a new token in RomM, with the permission me.read.",
		Hint: "An account is shut (`caddy romm-oidc links list`), and a token without the permission me.read could be its. Its owner can make a new one in RomM with me.read.",
	}
	errDisabled = &problem.Problem{
		Code: "romm_oidc_off", Status: http.StatusBadGateway, Title: "RomM does not accept this sign-in",
		Text: "RomM's own OpenID Connect sign-in is off. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "Set `OIDC_ENABLED=true` in RomM's environment and restart RomM.",
	}
	errElsewhere = &problem.Problem{
		Code: "romm_points_elsewhere", Status: http.StatusBadGateway, Title: "RomM uses another sign-in provider",
		Text: "RomM is not set up to sign its users in through this site. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "In RomM's environment OIDC_SERVER_APPLICATION_URL must be Caddy's own address followed by /api/oauth/openid, and OIDC_CLIENT_ID and OIDC_REDIRECT_URI must be those of this site. Restart RomM afterwards.",
	}
	errNoMetadata = &problem.Problem{
		Code: "romm_cannot_reach_caddy", Status: http.StatusBadGateway, Away: true, Title: "RomM cannot reach this site",
		Text: "RomM could not ask this site about you. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "From RomM's container, OIDC_SERVER_APPLICATION_URL followed by /.well-known/openid-configuration must answer 200 with JSON within 5 seconds, without a redirect. No directive after romm_oidc may change the Cookie header field, because RomM finds its own sign-in by it.",
	}
	errSecret = &problem.Problem{
		Code: "romm_client_secret", Status: http.StatusBadGateway, Title: "RomM and this site do not trust each other",
		Text: "RomM did not prove that it is RomM. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "OIDC_CLIENT_ID and OIDC_CLIENT_SECRET in RomM's environment must be client_id and romm_client_secret (by default client_secret) of romm_oidc. Use letters and digits only.",
	}
	errRefused = &problem.Problem{
		Code: "romm_refused", Status: http.StatusBadGateway, Title: "RomM refused the sign-in",
		Text: "RomM did not accept this sign-in. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "RomM's log says why. The likely cause is an account in RomM with this user name and another e-mail address, or none; Caddy's log names it. If it is this user's, give it the user's e-mail address in RomM, and the next sign-in finds it. If it is not, rename it in RomM.",
	}
	errNameRests = &problem.Problem{
		Code: "romm_name_rests", Status: http.StatusServiceUnavailable, Title: "One moment",
		Text: "Your user name was another account's in RomM a moment ago. Please try again.", Way: problem.WayRetry, Retry: 5 * time.Second,
	}
	errRegistration = &problem.Problem{
		Code: "registration_off", Status: http.StatusForbidden, Title: "You have no account here yet",
		Text: "RomM does not create accounts for new users. Ask the site's operator for an account with your e-mail address.", Way: problem.WayProvider,
		Hint: "Add the account in RomM with the user's e-mail address, or set `OIDC_ALLOW_REGISTRATION=true`.",
	}
	errAccountDisabled = &problem.Problem{
		Code: "account_disabled", Status: http.StatusForbidden, Title: "Your account is disabled",
		Text: "The site's operator has disabled your account in RomM.", Way: problem.WayProvider,
	}
	errNoRole = &problem.Problem{
		Code: "no_role", Status: http.StatusForbidden, Title: "You may not use this site",
		Text: "{provider} knows you, but your account has no role here. Ask the site's operator.", Way: problem.WayProvider,
		Hint: "None of the entries under `roles` matches this account.",
	}
	errRolesIgnored = &problem.Problem{
		Code: "roles_ignored", Status: http.StatusBadGateway, Title: "RomM did not accept your role",
		Text: "RomM is not set up to accept roles from this site. Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "Set `OIDC_CLAIM_ROLES=romm_roles`, `OIDC_ROLE_ADMIN=admin` and `OIDC_ROLE_VIEWER=user` in RomM's environment and restart RomM.",
	}
	errRolesVersion = &problem.Problem{
		Code: "roles_version", Status: http.StatusBadGateway, Title: "This RomM is too old for roles",
		Text: "Please tell the site's operator.", Way: problem.WayRetry,
		Hint: "Before 4.8.0 RomM takes away an administrator's role when a sign-in does not repeat it. Remove `roles` from romm_oidc and OIDC_CLAIM_ROLES from RomM's environment, or update RomM.",
	}
	errNoAdministrator = &problem.Problem{
		Code: "no_administrator", Status: http.StatusForbidden, Title: "RomM has no administrator yet",
		Text: "The first user to sign in must be an administrator of this site.", Way: problem.WayProvider,
		Hint: "Name yourself under `roles`, for instance `roles { admin you@example.com }`. You become RomM's first administrator when you sign in.",
	}
	errLastAdmin = &problem.Problem{
		Code: "last_admin", Status: http.StatusForbidden, Title: "You are the last administrator",
		Text: "This site no longer makes you an administrator, but RomM has no other. Make another user an administrator first.", Way: problem.WayProvider,
		Hint: "Without an administrator, RomM would let any visitor create one.",
	}
	errAccountChanged = &problem.Problem{
		Code: "account_changed", Status: http.StatusForbidden, Title: "Your account in RomM has changed",
		Text: "RomM does not find the account that you used until now. Ask the site's operator.", Way: problem.WayProvider,
		Hint: "Caddy's log names the account. Its e-mail address or user name was changed in RomM, past this site. Restore its e-mail address there. If the user is to have another account from now on, run: `caddy romm-oidc links forget <account>`.",
	}
	errAccountNotTrusted = &problem.Problem{
		Code: "account_not_trusted", Status: http.StatusForbidden, Title: "Your account in RomM must be checked first",
		Text: "This site makes you an administrator, but your account in RomM existed before your first sign-in here. Ask the site's operator.", Way: problem.WayProvider,
		Hint: "Caddy's log names the RomM account. Its password and its tokens stay valid and belong to whichever person set them: with the role they would be an administrator's. If the account was always this user's, run: `caddy romm-oidc links trust <account>`. If it was not, give it another e-mail address in RomM.",
	}
	errAccountTooLarge = &problem.Problem{
		Code: "account_too_large", Status: http.StatusForbidden, Title: "Your account in RomM is too large",
		Text: "It holds more data than this site reads, so your role cannot be determined. Ask the site's operator.", Way: problem.WayProvider,
		Hint: "One account may have up to 1 MiB, all accounts together 16 MiB. Look for an account with settings (ui_settings) of that size in GET /api/users.",
	}
	errClaimsTooLarge = &problem.Problem{
		Code: "claims_too_large", Status: http.StatusForbidden, Title: "Your account at {provider} has too much data",
		Text: "{provider} sends more about you than fits into RomM's sign-in. Ask the site's operator.", Way: problem.WayProvider,
		Hint: "The user's subject, user name, e-mail address, name and roles together must fit into a code of 4 KiB. Shorten the display name at the provider.",
	}
	errLinkTaken = &problem.Problem{
		Code: "link_taken", Status: http.StatusForbidden, Title: "This e-mail address belongs to another user here",
		Text: "Another account at {provider} already uses the RomM account with your e-mail address.", Way: problem.WayProvider,
		Hint: "Caddy's log names both, and the RomM account. If they are the same person, for instance because the accounts at {provider} were recreated: `caddy romm-oidc links move <e-mail address> <new subject>`. If they are not, the account's user chose this address in RomM: as an administrator, give the account its own address there.",
	}
)

// unexpected returns errUnreachable with what came instead of RomM's answer. A
// refusal of the request itself does not go away by waiting.
func unexpected(what string, answer *application.Answer) *problem.Problem {
	unexpected := errUnreachable.Because(seen(what, answer))
	unexpected.Away = answer.Status/100 != 4 || answer.Status == http.StatusRequestTimeout || answer.Status == http.StatusTooManyRequests
	return unexpected
}

// seen describes answer, the response to the request what, for a problem's cause.
func seen(what string, answer *application.Answer) error {
	if answer.Status == 0 {
		return fmt.Errorf("nothing behind romm_oidc answered %s: is there a reverse_proxy?", what)
	}
	text := strings.ToValidUTF8(string(answer.Body[:min(len(answer.Body), 200)]), "?")
	return answered{answer.Status, fmt.Sprintf("%s answered %d, %s, location %q: %q", what, answer.Status,
		atMost(answer.Header.Get("Content-Type")), atMost(withoutQuery(answer.Header.Get("Location"))), text)}
}

// answered is an answer that was not the expected one.
type answered struct {
	status int
	text   string
}

func (e answered) Error() string { return e.text }

// answeredWith reports whether err comes of an answer with this status.
func answeredWith(err error, status int) bool {
	e, ok := errors.AsType[answered](err)
	return ok && e.status == status
}

// atMost bounds what a line of the log quotes.
func atMost(text string) string { return strings.ToValidUTF8(text[:min(len(text), 200)], "?") }

// withoutQuery removes the query, to keep codes and states out of the log.
func withoutQuery(location string) string {
	before, _, _ := strings.Cut(location, "?")
	return before
}
