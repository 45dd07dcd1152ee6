// What the sensor says, in Japanese. In the journal, in Kafka and in the API it is English.
// {n} is a number, {x} one with its sign, {w} a window, {*} any text, which is read on its own again;
// the first that fits is taken, and what fits none stays as it is.
import { language } from "./words.js";

const SENTENCES = [
  ["{n} s", "{0} 秒"],
  ["{n} min", "{0} 分"],
  ["{n} h", "{0} 時間"],
  ["{n} day", "{0} 日"],
  ["{d} {x}: {*}", "{0} {1}: {2}"],
  ["{*}, at most {x}", "{0} (上限 {1})"],
  ["{n} x {x} and {n} x {x}", "{0} × {1} と {2} × {3}"],

  // detectors
  [
    "before any evidence, 1 host in {n} that uses foreign port 25",
    "証拠を見る前の確率: 外部 25 番ポートを使うホスト {0} 台に 1 台",
  ],
  ["{n} foreign network(s) in {w}: nothing unusual", "{1}で外部ネットワーク {0} 件: 通常の範囲内"],
  ["{n} foreign networks in {w}, where {n} are usual", "{1}で外部ネットワーク {0} 件 (通常は {2} 件)"],
  ["{n} foreign addresses in {w}, where {n} are usual", "{1}で外部アドレス {0} 件 (通常は {2} 件)"],
  ["{n} of {n} first contacts failed in {w}: {*}", "{2}で初回接続 {1} 件中 {0} 件が失敗: {3}"],
  ["no first contact decided yet", "結果の出た初回接続はまだない"],
  [
    "not measurable: this mirror does not show what becomes of connections",
    "測定不能: このミラーでは接続の結果が見えない",
  ],
  ["{n} of {n} new servers refused the mail in {w}: {*}", "{2}で新しいサーバー {1} 台中 {0} 台がメールを拒否: {3}"],
  ["no answer to mail was seen", "メールへの応答は観測されていない"],
  [
    "{n} of {n} sessions with hidden replies held no message in {w}: {*}",
    "{2}で応答の見えないセッション {1} 件中 {0} 件にメール本文なし: {3}",
  ],
  ["no session with hidden replies", "応答の見えないセッションはない"],
  [
    "{n} of {n} new servers were spoken to as no mail server does in {w}: {*}",
    "{2}で新しいサーバー {1} 台中 {0} 台に対し、メールサーバーらしくない対話: {3}",
  ],
  ["no session to judge its manners by", "対話の作法を判断できるセッションはない"],
  ["{n} MX lookup(s) in {w}", "{1}で MX 検索 {0} 件"],
  ["{n} MX lookups in {w}, where {n} are usual", "{1}で MX 検索 {0} 件 (通常は {2} 件)"],
  ["no MX lookup seen", "MX 検索は観測されていない"],
  ["{n} whole hours seen: {n} are needed", "観測は {0} 時間分 (必要 {1} 時間分)"],
  [
    "{n} new destinations in the last {n} whole hours: too few to tell",
    "直近 {1} 時間分で新しい宛先 {0} 件: 判断には少なすぎる",
  ],
  [
    "{n} new destinations in the last {n} whole hours, {n} an hour give or take {n}: even",
    "直近 {1} 時間分で新しい宛先 {0} 件、1 時間あたり {2} ± {3} 件: 一定",
  ],
  [
    "{n} new destinations in the last {n} whole hours, {n} an hour give or take {n}: in bursts, as people's mail comes",
    "直近 {1} 時間分で新しい宛先 {0} 件、1 時間あたり {2} ± {3} 件: 人のメールのようにばらつく",
  ],
  ["no authenticated session", "認証されたセッションはない"],
  [
    "{n} authenticated session(s) in {w}, and {n} network(s) in all: a mail program",
    "{1}で認証されたセッション {0} 件、全体でネットワーク {2} 件: メールソフト",
  ],
  [
    "{n} authenticated session(s) in {w}, and {n} network(s) in all: more than a mail program's",
    "{1}で認証されたセッション {0} 件、全体でネットワーク {2} 件: メールソフトとしては多すぎる",
  ],

  // whether a block is recommended
  [
    "nothing of it was proven, and it fell silent in a flood of forged SYNs",
    "本人の通信と確認できたものはなく、詐称 SYN の大量流入中に沈黙した",
  ],
  ["the evidence has lapsed", "証拠が失効した"],
  [
    "SYNs can be forged, and what is proven is not enough: {*}",
    "SYN は偽造できる。実証された範囲では不十分: {0}",
  ],
  ["shared address: look up the customer by port and time", "共有アドレス: ポートと時刻から契約者を照会すること"],
  ["the host itself spoke to {*}", "ホスト自身が通信した相手: {0}"],
  [
    "{*}; {n} of {n} servers refused it and {n} of {n} were spoken to as no mail server does, where nearly all of at least {n} and {n} are needed",
    "{0}。サーバー {2} 台中 {1} 台が拒否、{4} 台中 {3} 台に対しメールサーバーらしくない対話 (少なくとも {5} 台と {6} 台のほぼ全部が必要)",
  ],
  [
    "{*}; the holder of the address denied {n} handshakes: somebody forges it",
    "{0}。アドレスの本来の持ち主がハンドシェイク {1} 件を否認: 詐称されている",
  ],
  [
    "{*}; {n} of {n} servers refused it and {n} of {n} were spoken to as no mail server does",
    "{0}。サーバー {2} 台中 {1} 台が拒否、{4} 台中 {3} 台に対しメールサーバーらしくない対話",
  ],
  ["{n} new destinations in {w}, where {n} are usual", "{1}で新しい宛先 {0} 件 (通常は {2} 件)"],
  ["enough new destinations before", "以前に十分な数の新しい宛先"],

  // decisions
  ["it expired", "期限切れ"],
  ["the alert closed: its evidence lapsed", "アラート終了: 証拠が失効した"],
  ["{d} released it: {*}", "{0} が解除: {1}"],
  ["blocking has stopped itself", "遮断は自動停止中"],
  [
    "{n} alerts were raised within a minute (blocking.flood): forged addresses, an outbreak, or a wrong setting. Blocks still need handshakes the hosts completed",
    "1 分間に {0} 件のアラート (blocking.flood): 偽造アドレス、大規模感染、または設定の誤り。遮断にはホストが完了したハンドシェイクが引き続き必要",
  ],
  ["{*}. Nothing new is blocked", "{0}。新たな遮断はしない"],
  [
    "it goes on by steps after a quiet time, or at once after `port25 resume`",
    "静かな時間の後に段階的に再開、または `port25 resume` で直ちに再開",
  ],
  ["it goes on after `port25 resume` only", "`port25 resume` でのみ再開"],
  [
    "blocking goes on by steps: hosts proven long before it stopped come first",
    "段階的に再開中: 停止のずっと前から実証されているホストが先",
  ],
  [
    "blocking goes on by steps: the blocks of this step are used up",
    "段階的に再開中: この段階の遮断数を使い切った",
  ],
  [
    "step {n}: {n} new {d} in {n} s, for hosts proven long before {a}; fewer than {n} were turned away in the {n} s before",
    "段階 {0}: {3} 秒に新規遮断 {1} 件、{4} よりずっと前から実証されているホストのみ。直前の {6} 秒に見送り {5} 件未満",
  ],
  [
    "as many blocks as blocking.max_per_minute after {n} quiet steps",
    "{0} 段階が静かに過ぎたので blocking.max_per_minute まで",
  ],
  ["{n} hosts were turned away within {n} s", "{1} 秒以内に {0} 件のホストを見送った"],
  ["{n} blocks are in force ({*})", "遮断中 {0} 件 ({1})"],
  ["blocking.max_blocks is {n}", "blocking.max_blocks は {0}"],
  ["{n} are {n} of {n} subscribers", "{0} 件は契約者 {2} 件の {1}"],
  [
    "{n} blocks were made within a minute (blocking.max_per_minute)",
    "1 分間に遮断 {0} 件 (blocking.max_per_minute)",
  ],
  ["{a} is more than one subscriber", "{0} は複数の契約者を含む"],
  ["it would last longer than {n} days", "{0} 日より長く続くことになる"],
  ["{a} is a mail server of the provider", "{0} は事業者自身のメールサーバー"],
  ["{a} is exempt until {a}: {*}", "{0} は {1} まで除外: {2}"],
  ["{a} is not in the subscriber prefixes", "{0} は契約者のアドレス範囲にない"],
  ["{a} is shared by many: a block needs their ports", "{0} は共有アドレス: 遮断にはポート範囲が必要"],

  // health
  ["no sensor has written to the journal ever", "ジャーナルへの書き込みは一度もない"],
  ["no sensor has written to the journal for {n} s", "ジャーナルへの書き込みが {0} 秒間ない"],
  ["{n} of what was sent is lost", "送られたものの {0} を取りこぼした"],
  ["blocking stopped itself: port25 resume", "遮断は自動停止中: port25 resume"],
  [
    "{d} refuses {n} of what is to be blocked since {a}: {*}",
    "{0} は遮断対象 {1} 件を拒否 ({2} から): {3}",
  ],
  ["{n} messages wait for Kafka", "Kafka 待ちのメッセージ {0} 件"],
  ["{n} bytes are free", "空き容量 {0} バイト"],
];

const PARTS = {
  n: "(\\d[\\d.,]*%?)",
  x: "([+-][\\d.,]+)",
  w: "(\\d+ (?:s|min|h|day))",
  d: "([\\w.@-]+)",
  a: "([\\w.:/-]+)",
  "*": "(.+)",
};

const escaped = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");

const rules = SENTENCES.map(([english, japanese]) => [
  new RegExp(
    `^${english
      .split(/\{(.)\}/)
      .map((piece, k) => (k % 2 ? PARTS[piece] : escaped(piece).replaceAll("\\(s\\)", "s?")))
      .join("")}$`,
    "su",
  ),
  japanese,
]);

const inJapanese = (text) => {
  for (const [pattern, japanese] of rules) {
    const found = pattern.exec(text);
    if (found) return japanese.replace(/\{(\d)\}/g, (_, n) => inJapanese(found[Number(n) + 1]));
  }
  return text;
};

// A sentence of the sensor in the language spoken now.
export const said = (text) => (language() === "ja" ? inJapanese(text) : text);
