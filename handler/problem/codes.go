// The codes of all problems of the gate, for the metrics.

package problem

// Codes returns the codes of the gate's own problems.
func Codes() []string {
	return CodesOf([]*Problem{
		BadRequest, Misdirected, Rewritten, TooEarly, MethodNotAllowed, NotFound, SessionUnknown, NotSignedIn,
		CredentialUnknown, CredentialNotAllowed, TooManyAttempts, TooManySignIns, BodyRefused, CrossOrigin, Prefetch,
		CheckPending, NotAllowed, LoginExpired, SignedOutMeanwhile, CookiesMissing, ResponseInvalid, LogoutUnknown, SignInDenied,
		ProviderError, LoginRequired, StateLost, SignInFailed, ProviderRefused, TokenRefused, ClientRefused,
		IDTokenInvalid, UserinfoInvalid, EmailMissing, EmailNotASCII, EmailUnverified, UsernameMissing,
		ProviderUnavailable, StorageUnavailable, ApplicationAway, SignedInAgain, Internal,
	})
}

// CodesOf returns the codes of problems.
func CodesOf(problems []*Problem) []string {
	codes := make([]string, len(problems))
	for i, p := range problems {
		codes[i] = p.Code
	}
	return codes
}
