package conform

var around = []row{
	{name: "submodules", kind: writes, what: "`submodule add` by URL and by `../NAME`, `update --init --remote`, `clone --recurse-submodules`, `push --recurse-submodules`", script: `
		git -C $SEED push -q $OTHER main
		git -C w submodule add ../$NAME-other lib
		git -C w submodule add ../$NAME-other near
		git -C w commit -q -m submodules
		git -C w push
		git clone --recurse-submodules $URL c
		git -C c submodule status
		git clone -q $URL d
		git -C d submodule update --init --depth=1 near
		commit w/lib l.txt one
		git -C w add lib
		git -C w commit -q -m newer
		~! git -C w push --recurse-submodules=check
		git -C w push --recurse-submodules=on-demand
		git -C c pull --recurse-submodules
		git -C c submodule update --remote
		git -C c submodule status
	`, differs: "git says once more that the other end hung up, when it is itself that stops a push"},
	{name: "worktrees", kind: writes, what: "`worktree add`, `fetch`, `pull` and `push` there", script: `
		git -C w worktree add ../t -b side
		commit t s.txt one
		git -C t push -u origin side
		git -C w worktree add -q --detach ../u origin/dev
		git -C u fetch
		git -C u push origin HEAD:refs/heads/from-u
		git -C t pull origin main
	`},
	{name: "bundles", kind: writes, what: "`bundle create`, `clone` and `fetch` from it, `push` of what it brought", script: `
		git -C w bundle create -q ../all.bundle --all
		git -C w bundle create -q ../part.bundle main ^v1
		git clone -q -b main all.bundle c
		git -C c push $URL main:refs/heads/from-bundle
		git init -q -b x d
		git -C d fetch -q $URL tag v1
		git -C d fetch -q ../part.bundle 'refs/heads/*:refs/heads/*'
		git -C d push $URL main:refs/heads/from-part
		git -C d bundle verify -q ../part.bundle
	`},
	{name: "another home's work", kind: writes, what: "`remote add`, `remote set-url`, `remote set-url --push`, `url.insteadOf`", script: `
		git -C w remote add two $OTHER
		git -C w push two main
		git -C w remote set-url --push origin $OTHER
		git -C w push origin main:elsewhere
		git -C w -c url.$URL.insteadOf=home: fetch home: dev
		git -C w -c url.$OTHER.pushInsteadOf=home: push home: main:third
		git -C w fetch --all
	`},
}

var founding = []row{
	{name: "an empty repository", kind: empty, what: "`clone`, `ls-remote`, `fetch` of it, the first `push`, `clone` again", script: `
		git ls-remote $URL
		! git ls-remote --exit-code $URL
		git clone $URL e
		git -C e fetch
		! git -C e push
		commit e a.txt one
		git -C e push
		git clone $URL f
		git -C e push
	`},
	{name: "first push elsewhere", kind: empty, what: "a first branch that is not the default one; `clone` before and after there is one", script: `
		git init -q w
		git -C w remote add origin $URL
		commit w a.txt one
		git -C w push origin main:other
		git clone $URL c
		git -C c switch -q other
		git -C w push -u origin main
		git clone $URL d
		git -C c fetch
	`},
	{name: "everything deleted again", kind: empty, what: "all refs deleted but the default branch, which was never there", script: `
		git init -q w
		commit w a.txt one
		git -C w push $URL main:a main:b
		git -C w push $URL :a :b
		git ls-remote $URL
		git -C w push $URL main:c
		git clone $URL d
	`},
	{name: "SHA-256", kind: empty, format: "sha256", what: "`init --object-format=sha256`: `push`, `clone`, `fetch`, tags, shallow and partial clones", script: `
		git init -q --object-format=sha256 w
		git -C w remote add origin $URL
		commit w a.txt one
		commit w a.txt two
		git -C w tag -a -m first v1
		git -C w push -u --follow-tags origin main
		git clone $URL c
		commit c b.txt one
		git -C c push
		git -C w pull
		git clone --depth=1 $URL d
		git -C d fetch --unshallow
		git clone --filter=blob:none $URL e
		git ls-remote $URL
	`},
	{name: "two object formats", kind: empty, format: "sha256", what: "a SHA-1 repository pushes to and fetches from a SHA-256 one", script: `
		git init -q w
		commit w a.txt one
		plain: ! git -C w push $URL main
		peer: ! git -C w push $URL main
		git ls-remote $URL
		git init -q --object-format=sha256 x
		commit x a.txt one
		git -C x push -q $URL main
		~! git -C w fetch $URL main
	`, differs: "`git push` ends with 1 and not with 128, and says how to make a repository of the other format"},
}
