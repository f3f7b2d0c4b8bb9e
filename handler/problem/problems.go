// Every problem that the gate itself can have, by its code.

package problem

import (
	"net/http"
	"time"
)

// The gate's problems. The application's package has its own.
//
//nolint:errname // a problem is named by its code
var (
	BadRequest = &Problem{
		Code: "bad_request", Status: http.StatusBadRequest, Title: "This address cannot be understood",
		Text: "The address contains characters that do not belong there.",
	}
	Misdirected = &Problem{
		Code: "misdirected", Status: http.StatusMisdirectedRequest, Title: "This is not the address of this site",
		Text: "Please use the site's own address.", Way: WayHome,
		Hint: "The host or the scheme of the request is not that of redirect_uri. If a proxy in front of Caddy ends TLS, list it in Caddy's trusted_proxies.",
	}
	Rewritten = &Problem{
		Code: "rewritten", Status: http.StatusInternalServerError, Title: "This site changes its own addresses",
		Text: "Signing in cannot work like this. Please tell the site's operator.", Way: WayHome,
		Hint: "A directive before romm_oidc, such as rewrite, uri or handle_path, changes the path of requests. romm_oidc must see the path that the browser sent.",
	}
	TooEarly = &Problem{
		Code: "too_early", Status: http.StatusTooEarly, Title: "One moment",
		Text: "Please try again.",
	}
	MethodNotAllowed = &Problem{
		Code: "method_not_allowed", Status: http.StatusMethodNotAllowed, Title: "Method not allowed",
		Text: "This address does not accept this kind of request.",
	}
	NotFound = &Problem{
		Code: "not_found", Status: http.StatusNotFound, Title: "There is nothing here",
		Text: "This address does not exist.",
	}
	SessionUnknown = &Problem{
		Code: "session_unknown", Status: http.StatusNotFound, Title: "There is no such session",
		Text: "It has ended already, or it is not yours.", Way: WayHome,
	}
	NotSignedIn = &Problem{
		Code: "not_signed_in", Status: http.StatusUnauthorized, Title: "You are signed out",
		Text: "Your session has ended, and what you just sent was not accepted. Sign in, go back and send it again.", Way: WayRetry,
	}
	CredentialUnknown = &Problem{
		Code: "credential_unknown", Status: http.StatusUnauthorized, Title: "Not authenticated",
		Text: "This token or password is not valid.",
	}
	CredentialNotAllowed = &Problem{
		Code: "credential_not_allowed", Status: http.StatusForbidden, Title: "Not open to tokens and passwords",
		Text: "The token or password is valid, but this address takes a sign-in with a browser.",
	}
	TooManyAttempts = &Problem{
		Code: "too_many_attempts", Status: http.StatusTooManyRequests, Title: "Too many attempts",
		Text: "Too many wrong tokens or passwords came from your address. Wait a minute, then try again.",
	}
	TooManySignIns = &Problem{
		Code: "too_many_sign_ins", Status: http.StatusTooManyRequests, Title: "Too many sign-ins",
		Text: "Too many sign-ins began in your network, or {provider} refused too many, yours or those of other networks. Wait a minute, then try again.", Way: WayRetry,
		Hint: "A client keeps starting sign-ins or sending made-up codes. {provider} would soon be busy with them, or refuse every request of this site, so further ones are not sent to it for now. If a proxy is in front of Caddy, list it in trusted_proxies: without that, all visitors count as one address.",
	}
	BodyRefused = &Problem{
		Code: "body_refused", Status: http.StatusRequestEntityTooLarge, Title: "This request is too large",
		Text: "What was sent is too large, or did not arrive in time.",
	}
	CrossOrigin = &Problem{
		Code: "cross_origin", Status: http.StatusForbidden, Title: "Refused",
		Text: "Another site tried to do this in your name.",
	}
	Prefetch = &Problem{
		Code: "prefetch", Status: http.StatusServiceUnavailable, Title: "Prefetching is not available",
		Text: "This page cannot be loaded in advance.",
	}
	CheckPending = &Problem{
		Code: "check_pending", Status: http.StatusServiceUnavailable, Title: "One moment",
		Text: "This site asks {provider} about many users right now, you among them. This page tries again by itself.", Way: WayRetry, Retry: 5 * time.Second,
	}
	NotAllowed = &Problem{
		Code: "not_allowed", Status: http.StatusForbidden, Title: "You may not use this site",
		Text: "{provider} knows you, but your account has not been given access to this site. Ask the site's operator.", Way: WayProvider,
		Hint: "None of the groups, e-mail addresses and domains under `allow` matches this account.",
	}
	LoginExpired = &Problem{
		Code: "login_expired", Status: http.StatusBadRequest, Title: "That took too long",
		Text: "The sign-in started more than ten minutes ago. Please start again.", Way: WayRetry,
	}
	SignedOutMeanwhile = &Problem{
		Code: "signed_out_meanwhile", Status: http.StatusForbidden, Title: "You were signed out",
		Text: "While you were signing in here, {provider} or the site's operator signed you out. Please start again.", Way: WayRetry,
	}
	CookiesMissing = &Problem{
		Code: "cookies_missing", Status: http.StatusBadRequest, Title: "Your browser does not accept cookies",
		Text: "Signing in needs a cookie of this site, and your browser did not send it back. Allow cookies for this site, then try again.", Way: WayRetry,
	}
	ResponseInvalid = &Problem{
		Code: "response_invalid", Status: http.StatusBadRequest, Title: "The sign-in could not be checked",
		Text: "The response of {provider} does not match what this site asked for. You have not been signed in; please start again.", Way: WayRetry,
	}
	LogoutUnknown = &Problem{
		Code: "logout_unknown", Status: http.StatusBadRequest, Title: "This is the end of another sign-out",
		Text: "The answer of {provider} does not match a sign-out of this browser. Whether you are signed out there, {provider} shows.", Way: WayProvider,
		Hint: "The state in the address is not the one that the sign-out was sent with: the page was reloaded or bookmarked, the sign-out took longer than ten minutes, or another site sent the browser here.",
	}
	SignInDenied = &Problem{
		Code: "sign_in_denied", Status: http.StatusForbidden, Title: "{provider} did not sign you in",
		Text: "You declined, or your account may not use this site. You can try again, or use another account.", Way: WayEither,
	}
	ProviderError = &Problem{
		Code: "provider_error", Status: http.StatusBadGateway, Title: "{provider} could not sign you in",
		Text: "{provider} reports an error of its own. Try again, or use another account; if it happens again, ask the operator of {provider}.", Way: WayEither,
		Hint: "The log of {provider} says why. Authelia answers like this for a user who was disabled while they were signed in there.",
	}
	LoginRequired = &Problem{
		Code: "login_required", Status: http.StatusBadGateway, Title: "{provider} wants you to sign in again",
		Text: "{provider} did not sign you in because it first needs something from you: your sign-in, your consent, or the choice of an account. Please start again.", Way: WayEither,
	}
	StateLost = &Problem{
		Code: "state_lost", Status: http.StatusBadGateway, Title: "The sign-in was lost on the way back",
		Text: "{provider} keeps sending responses that match no sign-in started in this browser. Please tell the site's operator.", Way: WayRetry,
		Hint: "The callback must arrive with its whole query, unchanged: state, iss and code. A proxy, a rewrite or an extension of the browser may drop or change it. Caddy's log says what came.",
	}
	SignInFailed = &Problem{
		Code: "sign_in_failed", Status: http.StatusBadRequest, Title: "This sign-in failed",
		Text: "The reason is no longer known here. Please start again.", Way: WayRetry,
		Hint: "Look for the reference in Caddy's log.",
	}
	ProviderRefused = &Problem{
		Code: "provider_refused", Status: http.StatusBadGateway, Title: "{provider} refused this site",
		Text: "The site and {provider} do not agree on how to sign in. Please tell the site's operator.", Way: WayRetry,
	}
	TokenRefused = &Problem{
		Code: "token_refused", Status: http.StatusBadGateway, Title: "The sign-in could not be finished",
		Text: "{provider} did not accept the code that it had just issued. Please start again.", Way: WayRetry,
	}
	ClientRefused = &Problem{
		Code: "client_refused", Status: http.StatusBadGateway, Title: "{provider} does not accept this site",
		Text: "Please tell the site's operator.", Way: WayRetry,
		Hint: "client_id, client_secret and client_auth must match the client that is registered at the provider.",
	}
	IDTokenInvalid = &Problem{
		Code: "id_token_invalid", Status: http.StatusBadGateway, Title: "The sign-in could not be verified",
		Text: "What {provider} says about you could not be verified. Please tell the site's operator.", Way: WayRetry,
	}
	UserinfoInvalid = &Problem{
		Code: "userinfo_invalid", Status: http.StatusBadGateway, Title: "The sign-in could not be verified",
		Text: "{provider} did not say who you are. Please tell the site's operator.", Way: WayRetry,
	}
	EmailMissing = &Problem{
		Code: "email_missing", Status: http.StatusForbidden, Title: "Your account has no e-mail address",
		Text: "This site needs one. Ask the operator of {provider} to add it to your account.", Way: WayProvider,
		Hint: "The provider must send the claim email and grant the scope email.",
	}
	EmailNotASCII = &Problem{
		Code: "email_not_ascii", Status: http.StatusForbidden, Title: "Your e-mail address cannot be used here",
		Text: "It contains letters that can be confused with others. Ask the operator of {provider} for an address with unaccented Latin letters only.", Way: WayProvider,
		Hint: "The claim email must be ASCII, its domain in the form xn--…",
	}
	EmailUnverified = &Problem{
		Code: "email_unverified", Status: http.StatusForbidden, Title: "Your e-mail address is not verified",
		Text: "Verify it at {provider}, then sign in again.", Way: WayProvider,
		Hint: "The claim email_verified must be true.",
	}
	UsernameMissing = &Problem{
		Code: "username_missing", Status: http.StatusForbidden, Title: "Your account has no user name",
		Text: "Ask the operator of {provider}.", Way: WayProvider,
		Hint: "The provider must send the username claim (username_claim, by default preferred_username with the scope profile).",
	}
	ProviderUnavailable = &Problem{
		Code: "provider_unavailable", Status: http.StatusServiceUnavailable, Away: true, Title: "{provider} does not answer",
		Text: "Signing in is not possible at the moment. This page tries again by itself.", Way: WayRetry, Retry: 5 * time.Second,
		Hint: "Caddy's log says why. If Caddy cannot reach {provider} by its public name, as in some container networks, name its address there: `issuer_address http://authelia:9091`. If the provider names itself differently from `issuer`, the log says what to write.",
	}
	StorageUnavailable = &Problem{
		Code: "storage_unavailable", Status: http.StatusServiceUnavailable, Away: true, Title: "One moment",
		Text: "Sessions cannot be read or created right now. Signed-in users stay signed in; this page tries again by itself.", Retry: 5 * time.Second,
		Hint: "Caddy's storage cannot be read or written; Caddy's log says why.",
	}
	ApplicationAway = &Problem{
		Code: "application_away", Status: http.StatusBadGateway, Away: true, Title: "This site does not answer at the moment",
		Text: "You are still signed in, and nothing that you saved is lost. This page tries again by itself.", Way: WayReload, Retry: 5 * time.Second,
		Hint: "The server behind romm_oidc does not answer: it may be starting, or be down. Caddy's log says why.",
	}
	SignedInAgain = &Problem{
		Code: "signed_in_again", Status: http.StatusServiceUnavailable, Title: "Please send that again",
		Text: "The application lost your session and rejected what you just sent. You are signed in again, so please resend it.", Way: WayReload, Retry: time.Second,
	}
	Internal = &Problem{
		Code: "internal", Status: http.StatusInternalServerError, Away: true, Title: "Something went wrong",
		Text: "Please try again. If it happens again, tell the site's operator.", Way: WayRetry,
	}
)
