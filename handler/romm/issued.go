// The tokens that RomM issues for a password. RomM's tokens name their user, and
// that name may be another account's later: each token stays with the account
// that it was issued for.

package romm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// day is the unit in which storage sorts issued tokens by their expiry, in seconds.
const day = 24 * 60 * 60

// formLimit bounds the memory for a multipart form, in bytes.
const formLimit = 64 << 10

// namedToken is the part of RomM's JWT that the gate reads. Only RomM can tell
// whether it is genuine.
type namedToken struct {
	Subject string  `json:"sub"` // a user name
	Expires float64 `json:"exp"`
}

func readToken(token string) (read namedToken) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return read
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &read) != nil {
		return namedToken{}
	}
	return read
}

// expiryDay is the number of the day on which the token expires, 0 if it does not.
func (t namedToken) expiryDay() int64 {
	if t.Expires < day || t.Expires > 1e12 {
		return 0
	}
	return int64(t.Expires) / day
}

// outdated reports whether the token has expired, and what storage knows of it may
// be gone: RomM before 4.8 accepts expired tokens.
func (t namedToken) outdated(now time.Time) bool {
	expires := t.expiryDay()
	return expires != 0 && expires < now.Unix()/day-1
}

// issued is what storage knows of a token.
type issued struct {
	Account string `json:"account"` // its key
}

// issuedFolder is where issued tokens are, by the day of their expiry and their hash.
func (l *Links) issuedFolder() string { return l.folder + "/issued" }

// issuedPath names a token by what is signed of it: the signature has several
// spellings, such as one with padding, and RomM accepts more than one.
func (l *Links) issuedPath(token string) string {
	end := max(strings.LastIndexByte(token, '.'), 0)
	path := l.path("issued", token[:end])
	name := path[strings.LastIndexByte(path, '/'):]
	return l.issuedFolder() + "/" + strconv.FormatInt(readToken(token).expiryDay(), 10) + name
}

// noteIssued stores the account that a token was issued for.
func (l *Links) noteIssued(ctx context.Context, token, account string) error {
	document, err := json.Marshal(issued{account})
	if err != nil {
		return fmt.Errorf("encoding the account of a token: %w", err)
	}
	for _, path := range []string{l.holderPath(account), l.issuedPath(token)} {
		if known, err := l.storage().Load(ctx, path); err == nil && bytes.Equal(known, document) {
			continue
		}
		if err := l.storage().Store(ctx, path, document); err != nil {
			return fmt.Errorf("storing the account of a token: %w", err)
		}
	}
	return nil
}

// holderPath is where storage notes that a token was issued for account.
func (l *Links) holderPath(account string) string { return l.path("holder", account) }

// issuedTo returns the account that a token was issued for, empty if that is unknown:
// it was not issued through the gate.
func (l *Links) issuedTo(ctx context.Context, token string) (account string, err error) {
	document, err := l.storage().Load(ctx, l.issuedPath(token))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("loading the account of a token: %w", err)
	}
	var known issued
	if err := json.Unmarshal(document, &known); err != nil {
		return "", fmt.Errorf("decoding the account of a token: %w", err)
	}
	return known.Account, nil
}

// anyIssuedTo reports whether a token was ever issued for account, or that cannot be
// told. There may be a hundred thousand tokens: a script can ask for one each time.
func (l *Links) anyIssuedTo(ctx context.Context, account string) bool {
	_, err := l.storage().Load(ctx, l.holderPath(account))
	return !errors.Is(err, fs.ErrNotExist)
}

// sweepIssued removes what is known of tokens that are outdated, once a day.
func (l *Links) sweepIssued(ctx context.Context, now time.Time) {
	today := now.Unix() / day
	if l.swept.Swap(today) == today {
		return
	}
	keys, err := l.storage().List(ctx, l.issuedFolder(), true)
	if err != nil {
		return // tomorrow
	}
	for _, key := range keys {
		expires, _, _ := strings.Cut(strings.TrimPrefix(key, l.issuedFolder()+"/"), "/")
		if number, err := strconv.ParseInt(expires, 10, 64); err == nil && number != 0 && number < today-1 {
			_ = l.drop(ctx, key)
		}
	}
}

// exchange is a request for RomM's tokens, as the gate has read its form.
type exchange struct {
	app  *App
	form url.Values
}

// Exchange reads the form of r, a request for tokens, and replaces r's body by what
// it read: RomM must not find another user or another token in the form than the gate.
func (a *App) Exchange(r *http.Request) (issued func(context.Context, application.Caller, []byte) error) {
	x := exchange{app: a, form: formOf(r)}
	body := x.form.Encode()
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(strings.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return x.issued
}

// formOf returns the form in r's body, with one value for each name; RomM takes the
// last one. It is empty if there is no form, or one that cannot be read.
func formOf(r *http.Request) url.Values {
	form := url.Values{}
	read := r.Clone(r.Context())
	read.Method, read.URL = http.MethodPost, &url.URL{}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "multipart/form-data" {
		err = read.ParseMultipartForm(formLimit)
	} else if err == nil {
		err = read.ParseForm()
	}
	if err != nil {
		return form
	}
	for name, values := range read.PostForm {
		form.Set(name, values[len(values)-1])
	}
	return form
}

// issued notes the account of the tokens in response, before the client has them.
func (x *exchange) issued(ctx context.Context, call application.Caller, response []byte) error {
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(response, &tokens) // what is no JSON holds no token
	if tokens.Access == "" {
		return nil
	}
	account, err := x.owner(ctx, call, tokens.Access)
	if err != nil || account == "" {
		return err
	}
	links := x.app.config.Links
	for _, token := range []string{tokens.Access, tokens.Refresh} {
		if token == "" {
			continue
		}
		if err := links.noteIssued(ctx, token, account); err != nil {
			return storageProblem(err)
		}
	}
	links.sweepIssued(ctx, x.app.now())
	return nil
}

// owner returns the account of tokens that were just issued. Tokens for a refresh
// token stay with its account. It is empty only for a refresh token that was not
// issued through the gate, and that may not read its account.
func (x *exchange) owner(ctx context.Context, call application.Caller, access string) (string, error) {
	refresh := ""
	if x.form.Get("grant_type") == "refresh_token" { // else RomM does not look at it: without a type, it asks for a password
		refresh = x.form.Get("refresh_token")
	}
	if refresh != "" {
		account, err := x.app.config.Links.issuedTo(ctx, refresh)
		if err != nil {
			return "", storageProblem(err)
		}
		if account != "" {
			return account, nil
		}
	}
	credentials := []string{"Bearer " + access}
	if refresh == "" {
		// The password may always read its account, and it opens no other one that got
		// the name just now. RomM may not be able to read it in this form.
		password := x.form.Get("username") + ":" + x.form.Get("password")
		credentials = append([]string{"Basic " + base64.StdEncoding.EncodeToString([]byte(password))}, credentials...)
	}
	var answer *application.Answer
	for _, credential := range credentials {
		var err error
		answer, err = call(ctx, application.Call{
			Method: http.MethodGet, Target: "/api/users/me", Header: http.Header{"Authorization": {credential}}, Limit: accountLimit,
		})
		if err != nil {
			return "", errBusy.Because(err)
		}
		if answer.Status == http.StatusOK {
			break
		}
	}
	if refresh != "" && answer.Status == http.StatusForbidden {
		return "", nil
	}
	user, err := accountIn("GET /api/users/me", answer)
	if err != nil {
		return "", errBusy.Because(err)
	}
	return user.key(), nil
}

// holder returns the account that the token in an Authorization field was issued
// for, empty if that is unknown, or if it is another kind of credential.
func (a *App) holder(ctx context.Context, authorization string) (account string, err error) {
	if credentialIn(authorization) != rommJWT {
		return "", nil
	}
	_, token, _ := strings.Cut(authorization, " ")
	return a.config.Links.issuedTo(ctx, token)
}

// renamed reports whether the name in RomM's token is, by the links, not the name of
// user's account any more.
func (a *App) renamed(ctx context.Context, authorization string, user *account) (bool, error) {
	if credentialIn(authorization) != rommJWT {
		return false, nil
	}
	_, token, _ := strings.Cut(authorization, " ")
	name := readToken(token).Subject
	link, err := a.config.Links.ofUser(ctx, user)
	if err != nil {
		return false, err
	}
	if link != nil {
		return !strings.EqualFold(link.Username, name), nil
	}
	all, err := a.config.Links.List(ctx)
	for _, link := range all {
		if !link.Waiting && strings.EqualFold(link.Username, name) {
			return true, nil
		}
	}
	return false, err
}
