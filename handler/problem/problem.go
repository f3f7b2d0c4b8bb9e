package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// Problem is why a visitor does not get what they asked for: one stable code
// for logs, metrics, JSON and docs, and the words of the page. It is an error,
// so that what finds the problem needs to know nothing of pages.
type Problem struct { //nolint:errname // the word of RFC 9457
	Code      string // stable, snake_case
	Status    int    // of the response
	Title     string
	Text      string        // to the visitor; "{provider}" becomes the provider's label
	Hint      string        // to whoever runs the site; empty if there is nothing to add
	Cause     error         // for the log only; nil if the code says it all
	Way       Way           // what the page offers
	Reference string        // of this one occurrence, in the log too; set by the gate
	Retry     time.Duration // the page reloads itself after this time, and Retry-After says so; 0: not

	ReturnTo string // where the sign-in that met the problem was to end
}

// Way is the way forward that a problem's page offers.
type Way int

// The ways, from the plainest.
const (
	WayHome     Way = iota // open the application
	WayRetry               // sign in again, to the same page
	WayProvider            // sign out at the provider, to come back as somebody else
)

func (p *Problem) Error() string {
	if p.Cause == nil {
		return p.Code
	}
	return p.Code + ": " + p.Cause.Error()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Is reports whether target is the same problem, whatever its cause.
func (p *Problem) Is(target error) bool {
	q, ok := target.(*Problem)
	return ok && q.Code == p.Code
}

// Because returns a copy of p with its cause.
func (p *Problem) Because(cause error) *Problem {
	q := *p
	q.Cause = cause
	return &q
}

// After returns a copy of p that is worth another try after wait.
func (p *Problem) After(wait time.Duration) *Problem {
	q := *p
	q.Retry = wait.Truncate(time.Second) + time.Second
	return &q
}

// The gate's own problems. Those of the application are the application's.
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
		Text: "Nobody can sign in like this. Please tell whoever runs the site.", Way: WayHome,
		Hint: "Something before romm_oidc, such as rewrite, uri or handle_path, changes the path of requests. It must come as the browser sent it.",
	}
	TooEarly = &Problem{
		Code: "too_early", Status: http.StatusTooEarly, Title: "One moment",
		Text: "Please try again.",
	}
	MethodNotAllowed = &Problem{
		Code: "method_not_allowed", Status: http.StatusMethodNotAllowed, Title: "Not like this",
		Text: "This address does not answer this kind of request.",
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
		Text: "This token or password is nobody's, or no longer.",
	}
	TooManyAttempts = &Problem{
		Code: "too_many_attempts", Status: http.StatusTooManyRequests, Title: "Too many attempts",
		Text: "Too many wrong tokens or passwords came from your address. Wait a minute.",
	}
	TooManySignIns = &Problem{
		Code: "too_many_sign_ins", Status: http.StatusTooManyRequests, Title: "Too many sign-ins failed",
		Text: "Sign-ins that {provider} did not accept came from your network, or from too many others. Wait a minute, then try again.", Way: WayRetry,
		Hint: "Somebody sends made-up codes. {provider} would soon refuse this site altogether, so that it is not asked. If a proxy stands before Caddy, list it in trusted_proxies: without it all visitors are one address.",
	}
	CrossOrigin = &Problem{
		Code: "cross_origin", Status: http.StatusForbidden, Title: "Refused",
		Text: "Another site tried to do this in your name.",
	}
	Prefetch = &Problem{
		Code: "prefetch", Status: http.StatusServiceUnavailable, Title: "Not in advance",
		Text: "This page cannot be loaded in advance.",
	}
	NotAllowed = &Problem{
		Code: "not_allowed", Status: http.StatusForbidden, Title: "You may not use this site",
		Text: "{provider} knows you, but your account has not been given access to this site. Ask whoever runs it.", Way: WayProvider,
		Hint: "None of the groups, e-mail addresses and domains under allow fits this account.",
	}
	LoginExpired = &Problem{
		Code: "login_expired", Status: http.StatusBadRequest, Title: "That took too long",
		Text: "The sign-in was begun more than ten minutes ago. Please start again.", Way: WayRetry,
	}
	SignedOutMeanwhile = &Problem{
		Code: "signed_out_meanwhile", Status: http.StatusForbidden, Title: "You were signed out",
		Text: "While you signed in here, you were signed out by {provider} or by whoever runs the site. Please start again.", Way: WayRetry,
	}
	CookiesMissing = &Problem{
		Code: "cookies_missing", Status: http.StatusBadRequest, Title: "Your browser keeps no cookies",
		Text: "Signing in needs a cookie of this site, and your browser did not send it back. Allow cookies for this site, then try again.", Way: WayRetry,
	}
	ResponseInvalid = &Problem{
		Code: "response_invalid", Status: http.StatusBadRequest, Title: "The sign-in could not be checked",
		Text: "What came back from {provider} does not fit what was asked. Nothing has happened; please start again.", Way: WayRetry,
	}
	SignInDenied = &Problem{
		Code: "sign_in_denied", Status: http.StatusForbidden, Title: "{provider} did not sign you in",
		Text: "You declined, or your account may not use this site. You can try again.", Way: WayRetry,
	}
	ProviderRefused = &Problem{
		Code: "provider_refused", Status: http.StatusBadGateway, Title: "{provider} refused this site",
		Text: "The site and {provider} do not agree on how to sign in. Please tell whoever runs the site.", Way: WayRetry,
	}
	TokenRefused = &Problem{
		Code: "token_refused", Status: http.StatusBadGateway, Title: "The sign-in could not be finished",
		Text: "{provider} did not accept the code that it had just issued. Please start again.", Way: WayRetry,
	}
	ClientRefused = &Problem{
		Code: "client_refused", Status: http.StatusBadGateway, Title: "{provider} does not accept this site",
		Text: "Please tell whoever runs the site.", Way: WayRetry,
		Hint: "client_id, client_secret and client_auth must be those of the client at the provider.",
	}
	IDTokenInvalid = &Problem{
		Code: "id_token_invalid", Status: http.StatusBadGateway, Title: "The sign-in could not be verified",
		Text: "What {provider} says about you could not be verified. Please tell whoever runs the site.", Way: WayRetry,
	}
	UserinfoInvalid = &Problem{
		Code: "userinfo_invalid", Status: http.StatusBadGateway, Title: "The sign-in could not be verified",
		Text: "{provider} did not say who you are. Please tell whoever runs the site.", Way: WayRetry,
	}
	EmailMissing = &Problem{
		Code: "email_missing", Status: http.StatusForbidden, Title: "Your account has no e-mail address",
		Text: "This site needs one. Ask whoever runs {provider} to add it to your account.", Way: WayProvider,
		Hint: "The claim email must be there, and the scope email must be granted.",
	}
	EmailNotASCII = &Problem{
		Code: "email_not_ascii", Status: http.StatusForbidden, Title: "Your e-mail address cannot be used here",
		Text: "It has letters that could be taken for others. Ask whoever runs {provider} for an address in plain letters.", Way: WayProvider,
		Hint: "The claim email must be ASCII, its domain in the form xn--…",
	}
	EmailUnverified = &Problem{
		Code: "email_unverified", Status: http.StatusForbidden, Title: "Your e-mail address is not verified",
		Text: "Verify it at {provider}, then sign in again.", Way: WayProvider,
		Hint: "The claim email_verified must be true.",
	}
	UsernameMissing = &Problem{
		Code: "username_missing", Status: http.StatusForbidden, Title: "Your account has no user name",
		Text: "Ask whoever runs {provider}.", Way: WayProvider,
		Hint: "The username claim must be there (username_claim, by default preferred_username with the scope profile).",
	}
	ProviderUnavailable = &Problem{
		Code: "provider_unavailable", Status: http.StatusServiceUnavailable, Title: "{provider} does not answer",
		Text: "Nobody can sign in at the moment. This page tries again by itself.", Way: WayRetry, Retry: 5 * time.Second,
		Hint: "Caddy's log says why. If Caddy cannot reach {provider} by its public name, as in some container networks, name its address there: issuer_address http://authelia:9091. If the provider calls itself otherwise than issuer says, the log says what to write.",
	}
	StorageUnavailable = &Problem{
		Code: "storage_unavailable", Status: http.StatusServiceUnavailable, Title: "One moment",
		Text: "Nobody can be looked up or signed in right now. Who is signed in stays so; this page tries again by itself.", Retry: 5 * time.Second,
		Hint: "Caddy's storage cannot be read or written; Caddy's log says why.",
	}
	Internal = &Problem{
		Code: "internal", Status: http.StatusInternalServerError, Title: "Something went wrong",
		Text: "Please try again. If it happens again, tell whoever runs the site.", Way: WayRetry,
	}
)

// Of turns any error into the problem that a visitor is told about. It
// is the only place where that is decided.
func Of(err error) *Problem {
	if problem, ok := errors.AsType[*Problem](err); ok {
		return problem
	}
	if refused, ok := errors.AsType[*flow.AuthorizationError](err); ok {
		switch refused.Code {
		case "access_denied":
			return SignInDenied.Because(err)
		case "server_error", "temporarily_unavailable":
			return ProviderUnavailable.Because(err)
		case "login_required", "interaction_required", "consent_required", "account_selection_required":
			return TokenRefused.Because(err)
		}
		problem := ProviderRefused.Because(err)
		problem.Hint = "The provider said " + refused.Error()
		return problem
	}
	if token, ok := errors.AsType[*flow.TokenError](err); ok {
		switch token.Code {
		case "invalid_client", "unauthorized_client", "invalid_request":
			return ClientRefused.Because(err)
		}
		return TokenRefused.Because(err)
	}
	for _, m := range []struct {
		target  error
		problem *Problem
	}{
		{flow.ErrProviderUnavailable, ProviderUnavailable},
		{flow.ErrLoginExpired, LoginExpired},
		{flow.ErrLoginUnknown, LoginExpired},
		{flow.ErrResponseInvalid, ResponseInvalid},
		{flow.ErrIDTokenInvalid, IDTokenInvalid},
		{flow.ErrUserinfoInvalid, UserinfoInvalid},
		{flow.ErrEmailMissing, EmailMissing},
		{flow.ErrEmailNotASCII, EmailNotASCII},
		{flow.ErrEmailUnverified, EmailUnverified},
		{flow.ErrUsernameMissing, UsernameMissing},
		{flow.ErrAccountGone, NotAllowed},
	} {
		if errors.Is(err, m.target) {
			return m.problem.Because(err)
		}
	}
	return Internal.Because(err)
}

// NoEntryFits is the cause of a refusal that an entry for identity would have lifted:
// who it is, in the words that entries are made of. It goes to the log only.
func NoEntryFits(identity *flow.Identity) error {
	return fmt.Errorf("no entry fits %q with the e-mail address %q and the groups %q", identity.Username, identity.Email, identity.Groups)
}

// StorageProblem returns the problem of a storage that could not be read or written.
func StorageProblem(cause error) *Problem { return StorageUnavailable.Because(cause) }
