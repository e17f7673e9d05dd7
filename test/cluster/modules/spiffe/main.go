// spiffe-client asks a Workload API as an app would that uses go-spiffe; each command answers with lines of JSON.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	switch os.Args[1] {
	case "ids":
		err = judgeIDs()
	case "fetch":
		err = fetch(ctx, os.Args[2])
	case "watch":
		err = watch(ctx)
	case "serve":
		err = serve(ctx, os.Args[2])
	case "dial":
		err = dial(ctx, os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

// judgeIDs reads JSON strings, one per line, and says of each whether it is a SPIFFE ID.
func judgeIDs() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			return err
		}
		_, err := spiffeid.FromString(text)
		say(err == nil)
	}
	return lines.Err()
}

// fetch makes all five calls for one audience.
func fetch(ctx context.Context, audience string) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	svid, err := client.FetchX509SVID(ctx)
	if err != nil {
		return fmt.Errorf("FetchX509SVID: %w", err)
	}
	bundles, err := client.FetchX509Bundles(ctx)
	if err != nil {
		return fmt.Errorf("FetchX509Bundles: %w", err)
	}
	token, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return fmt.Errorf("FetchJWTSVID: %w", err)
	}
	keys, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return fmt.Errorf("FetchJWTBundles: %w", err)
	}
	if _, err = jwtsvid.ParseAndValidate(token.Marshal(), keys, []string{audience}); err != nil {
		return fmt.Errorf("ParseAndValidate: %w", err)
	}
	validated, err := client.ValidateJWTSVID(ctx, token.Marshal(), audience)
	if err != nil {
		return fmt.Errorf("ValidateJWTSVID: %w", err)
	}
	_, wrong := client.ValidateJWTSVID(ctx, token.Marshal(), "another")
	bundle, err := bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return err
	}
	say(map[string]any{
		"id":            svid.ID.String(),
		"chain":         len(svid.Certificates),
		"roots":         len(bundle.X509Authorities()),
		"jwt":           token.ID.String(),
		"jwtKeys":       keys.Len(),
		"validated":     validated.ID.String(),
		"otherAudience": wrong == nil,
	})
	return nil
}

type watcher struct{}

func (watcher) OnX509ContextUpdate(update *workloadapi.X509Context) {
	svid := update.DefaultSVID()
	bundle, ok := update.Bundles.Get(svid.ID.TrustDomain())
	if !ok {
		log.Fatal("no bundle")
	}
	say(map[string]any{
		"serial": svid.Certificates[0].SerialNumber.Text(16),
		"roots":  len(bundle.X509Authorities()),
	})
}

func (watcher) OnX509ContextWatchError(err error) {
	say(map[string]any{"error": err.Error()})
}

// watch says every update that comes until its standard input ends.
func watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err := workloadapi.WatchX509Context(ctx, watcher{})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// serve takes one connection at a time by mutual TLS from one peer and tells it who it is.
func serve(ctx context.Context, peer string) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(spiffeid.RequireFromString(peer)))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = listener.Close()
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			return nil
		}
		if err := connection.(*tls.Conn).Handshake(); err == nil {
			_, _ = fmt.Fprintln(connection, "welcome")
		}
		_ = connection.Close()
	}
}

// dial connects by mutual TLS to one peer and prints what it says.
func dial(ctx context.Context, address, peer string) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(spiffeid.RequireFromString(peer)))
	connection, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer connection.Close()
	text, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	say(map[string]any{"said": string(text)})
	return nil
}
