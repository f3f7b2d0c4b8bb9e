package romm

import (
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
)

// What RomM, or something between the gate and RomM, can have against a
// sign-in. Each says what to do; none is tried again by itself.
var (
	errUnreachable = &problem.Problem{
		Code: "romm_unreachable", Status: http.StatusBadGateway, Title: "RomM does not answer as expected",
		Text: "You are known to {provider}, but RomM did not answer. Try again in a moment.", Way: problem.WayRetry,
		Hint: "RomM may be starting, or something between Caddy and RomM answers in its place. The directives behind romm_oidc must pass /api/* on to RomM unchanged.",
	}
	errBusy = &problem.Problem{
		Code: "romm_busy", Status: http.StatusServiceUnavailable, Title: "RomM does not answer",
		Text: "Your token or password cannot be checked right now.", Retry: 5 * time.Second,
		Hint: "RomM may be starting, or has too much to do.",
	}
	errDisabled = &problem.Problem{
		Code: "romm_oidc_off", Status: http.StatusBadGateway, Title: "RomM does not accept this sign-in",
		Text: "RomM's own OpenID Connect sign-in is off. Please tell whoever runs the site.", Way: problem.WayRetry,
		Hint: "Set OIDC_ENABLED=true in RomM's environment and restart RomM.",
	}
	errElsewhere = &problem.Problem{
		Code: "romm_points_elsewhere", Status: http.StatusBadGateway, Title: "RomM asks somebody else",
		Text: "RomM is not set up to take its users from this site. Please tell whoever runs it.", Way: problem.WayRetry,
		Hint: "In RomM's environment OIDC_SERVER_APPLICATION_URL must be Caddy's own address with /api/oauth/openid behind it, and OIDC_CLIENT_ID and OIDC_REDIRECT_URI those of this site. Restart RomM afterwards.",
	}
	errNoMetadata = &problem.Problem{
		Code: "romm_cannot_reach_caddy", Status: http.StatusBadGateway, Title: "RomM cannot ask this site",
		Text: "RomM could not ask this site about you. Please tell whoever runs it.", Way: problem.WayRetry,
		Hint: "From RomM's container, OIDC_SERVER_APPLICATION_URL followed by /.well-known/openid-configuration must answer 200 with JSON within 5 seconds, without a redirect. Nothing behind romm_oidc may change the Cookie header field, by which RomM finds the sign-in that it began.",
	}
	errSecret = &problem.Problem{
		Code: "romm_client_secret", Status: http.StatusBadGateway, Title: "RomM and this site do not trust each other",
		Text: "RomM did not prove that it is RomM. Please tell whoever runs the site.", Way: problem.WayRetry,
		Hint: "OIDC_CLIENT_ID and OIDC_CLIENT_SECRET in RomM's environment must be client_id and romm_client_secret (by default client_secret) of romm_oidc. Use letters and digits only.",
	}
	errRefused = &problem.Problem{
		Code: "romm_refused", Status: http.StatusBadGateway, Title: "RomM did not take you in",
		Text: "RomM refused the sign-in. Please tell whoever runs the site.", Way: problem.WayRetry,
		Hint: "RomM's log says why. A likely cause is another RomM account with your user name or with your e-mail address: rename that one in RomM. In RomM's names there are letters, digits, - and _ only, so that a.b and a_b are one.",
	}
	errRegistration = &problem.Problem{
		Code: "registration_off", Status: http.StatusForbidden, Title: "You have no account here yet",
		Text: "RomM does not make accounts for new visitors. Ask whoever runs the site for one with your e-mail address.", Way: problem.WayProvider,
		Hint: "Add the account in RomM with the visitor's e-mail address, or set OIDC_ALLOW_REGISTRATION=true.",
	}
	errAccountDisabled = &problem.Problem{
		Code: "account_disabled", Status: http.StatusForbidden, Title: "Your account is disabled",
		Text: "Whoever runs the site has disabled your account in RomM.", Way: problem.WayProvider,
	}
	errNoRole = &problem.Problem{
		Code: "no_role", Status: http.StatusForbidden, Title: "You may not use this site",
		Text: "{provider} knows you, but your account has no role here. Ask whoever runs the site.", Way: problem.WayProvider,
		Hint: "None of the entries under roles fits this account.",
	}
	errRolesIgnored = &problem.Problem{
		Code: "roles_ignored", Status: http.StatusBadGateway, Title: "RomM did not take your role",
		Text: "RomM is not set up to take roles from this site. Please tell whoever runs it.", Way: problem.WayRetry,
		Hint: "Set OIDC_CLAIM_ROLES=romm_roles, OIDC_ROLE_ADMIN=admin and OIDC_ROLE_VIEWER=user in RomM's environment and restart RomM.",
	}
	errRolesVersion = &problem.Problem{
		Code: "roles_version", Status: http.StatusBadGateway, Title: "This RomM is too old for roles",
		Text: "Please tell whoever runs the site.", Way: problem.WayRetry,
		Hint: "Before 4.8.0 RomM takes away an administrator's role when a sign-in does not repeat it. Remove roles from romm_oidc and OIDC_CLAIM_ROLES from RomM's environment, or update RomM.",
	}
	errNoAdministrator = &problem.Problem{
		Code: "no_administrator", Status: http.StatusForbidden, Title: "RomM has no administrator yet",
		Text: "The first to sign in must be somebody whom this site makes an administrator.", Way: problem.WayProvider,
		Hint: "Name yourself under roles: roles { admin you@example.com }. Whoever signs in so becomes RomM's first administrator.",
	}
	errLastAdmin = &problem.Problem{
		Code: "last_admin", Status: http.StatusForbidden, Title: "You are the last administrator",
		Text: "This site no longer makes you an administrator, but RomM has no other. Make somebody else an administrator first.", Way: problem.WayProvider,
		Hint: "Without any administrator RomM would let anybody make one.",
	}
	errAccountChanged = &problem.Problem{
		Code: "account_changed", Status: http.StatusForbidden, Title: "Your account in RomM has changed",
		Text: "RomM does not find the account that you used until now. Ask whoever runs the site.", Way: problem.WayProvider,
		Hint: "The account's e-mail address or user name was changed in RomM while its user was away. Give it back its e-mail address.",
	}
	errAccountTooLarge = &problem.Problem{
		Code: "account_too_large", Status: http.StatusForbidden, Title: "Your account in RomM is too large",
		Text: "RomM says more about it than this site reads, so that your role cannot be told. Ask whoever runs the site.", Way: problem.WayProvider,
		Hint: "One account may be 1 MiB, all together 16 MiB. Look for an account with settings (ui_settings) of that size in GET /api/users.",
	}
	errClaimsTooLarge = &problem.Problem{
		Code: "claims_too_large", Status: http.StatusForbidden, Title: "Your account at {provider} has too much data",
		Text: "{provider} sends more about you than fits into RomM's sign-in. Ask the administrator of the site.", Way: problem.WayProvider,
		Hint: "The user's subject, user name, e-mail address, name and roles together must fit into a code of 4 KiB. Shorten the display name at the provider.",
	}
	errLinkTaken = &problem.Problem{
		Code: "link_taken", Status: http.StatusForbidden, Title: "This e-mail address belongs to somebody else here",
		Text: "Another account at {provider} already uses the RomM account with your e-mail address.", Way: problem.WayProvider,
		Hint: "Caddy's log names both, and the RomM account. If they are the same person, for instance because the accounts at {provider} were made anew: caddy romm-oidc links move <e-mail address> <new subject>. If they are not, the account's user took this address in RomM: give the account its own address there, as an administrator.",
	}
)

// unexpected is errUnreachable with what was seen instead of RomM's answer.
func unexpected(what string, answer *application.Answer) *problem.Problem {
	return errUnreachable.Because(seen(what, answer))
}
