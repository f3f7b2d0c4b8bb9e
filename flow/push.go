// Pushed authorization requests.

package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// pushPause is how long a refused request is not pushed again. Its cause is the
// registration of the client, the same for every user, and Authelia counts
// refused requests with those of the token endpoint.
const pushPause = 10 * time.Second

// Pushes reports whether Begin sends a request to the provider. It is false while the
// provider's metadata are not known.
func (rp *RelyingParty) Pushes(ctx context.Context) bool {
	md, err := rp.metadata(ctx)
	return err == nil && (rp.config.Push || md.pushRequired)
}

// errNoPushEndpoint says that the provider has no endpoint for pushed requests.
var errNoPushEndpoint = errors.New("the provider has no pushed_authorization_request_endpoint: remove `push_authorization`")

// push sends the authorization request in location to the provider itself, and
// returns the URL for the browser, which only names it
// (https://datatracker.ietf.org/doc/html/rfc9126#section-2). Errors match
// ErrProviderUnavailable, are a TokenError if the provider does not accept the
// client, or an AuthorizationError that says what it does not accept.
func (rp *RelyingParty) push(ctx context.Context, md *metadata, location string) (string, error) {
	u, err := url.Parse(location)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: its authorization_endpoint: %w", ErrProviderUnavailable, err)
	case md.pushEndpoint == "":
		return "", fmt.Errorf("%w: %w", ErrProviderUnavailable, errNoPushEndpoint)
	}
	if err := rp.refusedPush(); err != nil {
		return "", err
	}
	name, err := rp.pushed(ctx, md, u.Query())
	if err != nil {
		rp.noteMismatch(err)
		rp.notePush(err)
		return "", err
	}
	endpoint, err := url.Parse(md.authorizationEndpoint)
	if err != nil {
		return "", fmt.Errorf("%w: its authorization_endpoint: %w", ErrProviderUnavailable, err)
	}
	query := endpoint.Query()
	query.Set("client_id", rp.config.ClientID)
	query.Set("request_uri", name)
	endpoint.RawQuery = query.Encode()
	return endpoint.String(), nil
}

// pushed pushes a request, and returns the provider's name for it.
func (rp *RelyingParty) pushed(ctx context.Context, md *metadata, form url.Values) (string, error) {
	request, err := rp.formRequest(ctx, md.pushEndpoint, form, rp.config.ClientAuth)
	if err != nil {
		return "", fmt.Errorf("creating a pushed authorization request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	answer, err := rp.config.Client.Do(request)
	if err != nil {
		return "", fmt.Errorf("%w: pushing an authorization request: %w", ErrProviderUnavailable, bounded(err))
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("%w: reading its answer to a pushed authorization request: %w", ErrProviderUnavailable, err)
	}
	members, _ := parseDocument(body) // without it, everything is missing
	code, name := printable(members.text("error"), 100), members.text("request_uri")
	switch {
	case answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		return "", &EndpointError{Status: answer.StatusCode, RetryAfter: retryAfter(answer.Header)}
	case refusesClient(code) || code == "unauthorized_client" || answer.StatusCode == http.StatusUnauthorized:
		return "", rp.refusal(code, members.text("error_description"), answer.StatusCode)
	case code != "":
		return "", &AuthorizationError{Code: code, Description: printable(members.text("error_description"), 300)}
	case answer.StatusCode != http.StatusCreated && answer.StatusCode != http.StatusOK || name == "":
		return "", fmt.Errorf("%w: its answer to a pushed authorization request is %d without a request_uri", ErrProviderUnavailable, answer.StatusCode)
	}
	return name, nil
}

// refusedPush returns the error of the last push, if the provider refused it a moment ago.
func (rp *RelyingParty) refusedPush() error {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if rp.config.Now().Before(rp.nextPush) {
		return rp.pushFailed
	}
	return nil
}

// notePush remembers a refusal.
func (rp *RelyingParty) notePush(err error) {
	if errors.Is(err, ErrProviderUnavailable) {
		return
	}
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.pushFailed, rp.nextPush = err, rp.config.Now().Add(pushPause)
}
