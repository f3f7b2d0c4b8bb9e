// A problem, and how any error becomes one.

package problem

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
)

// Problem is the reason why a request is refused: a stable code for logs,
// metrics, JSON and docs, and the words of the page. It is an error, so that the
// code that finds the problem does not deal with pages. The word is that of
// [RFC 9457].
//
// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
type Problem struct { //nolint:errname // named by the RFC
	Code      string        // stable, snake_case
	Status    int           // of the response
	Title     string        // "{provider}" becomes the provider's label, here and below
	Text      string        // for the user
	Hint      string        // for the operator; empty if there is nothing to add
	Cause     error         // for the log only; may be nil
	Doctor    string        // the code of the doctor that explains it; empty: what Code and Cause say
	Way       Way           // what the page offers
	Reference string        // identifies this refusal on the page and in the log; set by the gate
	Retry     time.Duration // when the page reloads itself, also sent as Retry-After; 0: never
	Away      bool          // the other side did not answer, so that trying again may help; false: it answered and refused
	ReturnTo  string        // the local path that the failed sign-in was meant to return to; may be empty
	User      string        // who is signed in at the provider; empty: not known
	Subject   string        // theirs at the provider, for the log; empty: not known
}

// Way is what the page of a problem offers as the next step.
type Way int

// The next steps.
const (
	WayHome     Way = iota // open the application
	WayRetry               // sign in again, to the same page
	WayReload              // ask for the same page again
	WayProvider            // sign out at the provider, to sign in as another user
	WayEither              // sign in again, or as another user
)

// Error returns the code, and the cause if there is one.
func (p *Problem) Error() string {
	if p.Cause == nil {
		return p.Code
	}
	return p.Code + ": " + p.Cause.Error()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Placeholder returns the value of a placeholder about p, without braces.
func (p *Problem) Placeholder(name string) (any, bool) {
	switch name {
	case "http.romm_oidc.code":
		return p.Code, true
	case "http.romm_oidc.status":
		return p.Status, true
	case "http.romm_oidc.reference":
		return p.Reference, true
	}
	return nil, false
}

// Is reports whether target has the same code, for errors.Is.
func (p *Problem) Is(target error) bool {
	q, ok := target.(*Problem)
	return ok && q.Code == p.Code
}

// Because returns a copy of p with cause as its cause.
func (p *Problem) Because(cause error) *Problem {
	q := *p
	q.Cause = cause
	return &q
}

// About returns a copy of p about this user of the provider.
func (p *Problem) About(identity *flow.Identity) *Problem {
	q := *p
	q.User, q.Subject = identity.Username, identity.Subject
	return &q
}

// After returns a copy of p that asks the client to retry after wait, at the next
// whole second.
func (p *Problem) After(wait time.Duration) *Problem {
	q := *p
	q.Retry = wait.Truncate(time.Second) + time.Second
	return &q
}

// Of returns the problem that err is shown as. It is the only place that maps
// errors to problems; an unknown error becomes Internal.
func Of(err error) *Problem {
	if problem, ok := errors.AsType[*Problem](err); ok {
		return problem
	}
	p := of(err)
	if named, ok := errors.AsType[*flow.UserError](err); ok {
		p.User, p.Subject = named.User, named.Subject
	}
	return p
}

// of returns a new problem for err, which is not one itself.
func of(err error) *Problem {
	if refused, ok := errors.AsType[*flow.AuthorizationError](err); ok {
		switch refused.Code {
		case "access_denied":
			return SignInDenied.Because(err)
		case "server_error":
			return ProviderError.Because(err)
		case "temporarily_unavailable":
			return ProviderUnavailable.Because(err)
		case "login_required", "interaction_required", "consent_required", "account_selection_required":
			return LoginRequired.Because(err)
		}
		problem := ProviderRefused.Because(err)
		problem.Hint = "The provider said " + refused.Error()
		switch {
		case refused.Code == "invalid_scope":
			problem.Hint += ". Allow the client every scope of the setting `scopes` there, or remove it here."
		case strings.Contains(refused.Description, "redirect_uri"):
			problem.Hint += ". Register this site's redirect_uri there, letter by letter."
		}
		return problem
	}
	if token, ok := errors.AsType[*flow.TokenError](err); ok && !token.Foreign {
		return ofRefusal(token, err)
	}
	if email, ok := errors.AsType[*flow.EmailError](err); ok {
		problem := EmailMissing.Because(err)
		problem.Title, problem.Text = EmailNotASCII.Title, "{provider} sent something else than one address. Ask the operator of {provider}."
		problem.Hint = "The claim email " + email.Came + ". It must be one address in a string."
		return problem
	}
	if algorithm, ok := errors.AsType[*flow.AlgorithmError](err); ok {
		problem := IDTokenInvalid
		if errors.Is(err, flow.ErrUserinfoInvalid) {
			problem = UserinfoInvalid
		}
		problem = problem.Because(err)
		problem.Hint = algorithm.Hint()
		return problem
	}
	if clock, ok := errors.AsType[*flow.ClockError](err); ok {
		problem := IDTokenInvalid.Because(err)
		problem.Hint = clock.Hint()
		return problem
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && errors.Is(err, flow.ErrProviderUnavailable) {
		problem := ProviderUnavailable.Because(err)
		problem.Hint = "Caddy does not trust the provider's certificate: " + certificate.Err.Error() + ". If it comes from a certificate authority of your own, such as Caddy's (tls internal), name its root certificate: `tls_ca /path/root.crt`."
		return problem
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

// ofRefusal returns a new problem for err, a refusal of the token endpoint.
func ofRefusal(token *flow.TokenError, err error) *Problem {
	if demands := token.Demands(); demands != "" {
		problem := ClientRefused.Because(err)
		problem.Hint = demands
		return problem
	}
	switch token.Code {
	case "invalid_client", "unauthorized_client", "invalid_request":
		return ClientRefused.Because(err)
	}
	return TokenRefused.Because(err)
}

// groupsQuoted is how many groups a line of the log names.
const groupsQuoted = 20

// NoEntryFits is the cause of a refusal because no entry of the policy or the
// roles matches identity. It names what entries can match, and goes to the log
// only.
func NoEntryFits(identity *flow.Identity) error {
	groups, more := identity.Groups, ""
	if len(groups) > groupsQuoted {
		groups, more = groups[:groupsQuoted], fmt.Sprintf(" and %d more", len(groups)-groupsQuoted)
	}
	return fmt.Errorf("no entry fits %q with the e-mail address %q and the groups %q%s", identity.Username, identity.Email, groups, more)
}
