package hocket.smoke;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import hocket.smoke.Answer.ChoiceLine;
import hocket.v1.CancelRequest;
import hocket.v1.ChoiceSettings;
import hocket.v1.ContextPolicy;
import hocket.v1.ContextSettings;
import hocket.v1.DetokenizeRequest;
import hocket.v1.EffectiveSettings;
import hocket.v1.GenerateRequest;
import hocket.v1.GetModelRequest;
import hocket.v1.HocketGrpc;
import hocket.v1.HocketGrpc.HocketBlockingStub;
import hocket.v1.Model;
import hocket.v1.OutputSettings;
import hocket.v1.Resume;
import hocket.v1.SamplingSettings;
import hocket.v1.StoppingSettings;
import hocket.v1.StreamGenerateResponse;
import hocket.v1.TokenizeRequest;
import io.grpc.Context;
import io.grpc.Context.CancellableContext;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A Java client of hocket.v1: makes each kind of call once and prints what it saw as one line of JSON.
 *
 * <p>java -jar smoke.jar HOST:PORT
 */
public final class Smoke {
  private static final long LIMIT_S = 60; // Of any one call that is not meant to be cut short.
  private static final String PROMPT = "Once upon a time";

  private final HocketBlockingStub hocket;
  private final HocketBlockingStub other; // On a connection of its own.

  private Smoke(HocketBlockingStub hocket, HocketBlockingStub other) {
    this.hocket = hocket;
    this.other = other;
  }

  private static HocketBlockingStub limited(HocketBlockingStub stub) {
    return stub.withDeadlineAfter(LIMIT_S, TimeUnit.SECONDS);
  }

  private static GenerateRequest.Builder story() {
    return GenerateRequest.newBuilder()
        .setText(PROMPT)
        // -7 is 2^64 - 7: Java keeps unsigned numbers in signed ones.
        .setSampling(SamplingSettings.newBuilder().setTemperature(0.9f).setTopP(0.95f).setSeed(-7))
        .setStopping(StoppingSettings.newBuilder().setMaxNewTokens(64))
        .setOutput(OutputSettings.newBuilder().setTopLogprobs(2));
  }

  /** Goes on until somebody ends it. */
  private static GenerateRequest.Builder endless() {
    return story()
        .setStopping(StoppingSettings.newBuilder().setMaxNewTokens(1000000).setIgnoreEos(true))
        .setContext(ContextSettings.newBuilder().setPolicy(ContextPolicy.CONTEXT_POLICY_ROLL));
  }

  /** Two choices, each long enough to be broken off in its middle. */
  private static GenerateRequest.Builder pair(String id) {
    return story()
        .setRequestId(id)
        .setStopping(StoppingSettings.newBuilder().setMaxNewTokens(200).setIgnoreEos(true))
        .setChoices(ChoiceSettings.newBuilder().setN(2));
  }

  private ChoiceLine unary(GenerateRequest request) {
    return ChoiceLine.of(limited(hocket).generate(request).getChoices(0));
  }

  /** Asks again with the settings that the first answer told. */
  private ChoiceLine repeat(EffectiveSettings told) {
    return unary(
        GenerateRequest.newBuilder()
            .setText(PROMPT)
            .setAddSpecialTokens(told.getAddSpecialTokens())
            .setSampling(told.getSampling())
            .setStopping(told.getStopping())
            .setChoices(told.getChoices())
            .setOutput(told.getOutput())
            .setContext(told.getContext())
            .setScheduling(told.getScheduling())
            .setSpeculation(told.getSpeculation())
            .build());
  }

  private String roundTrip(String text) {
    TokenizeRequest request =
        TokenizeRequest.newBuilder().setText(text).setAddSpecialTokens(false).build();
    List<Integer> tokens = limited(hocket).tokenize(request).getTokenIdsList();
    DetokenizeRequest back = DetokenizeRequest.newBuilder().addAllTokenIds(tokens).build();
    return limited(hocket).detokenize(back).getText();
  }

  private static Map<String, Object> failureOf(StatusRuntimeException error) {
    Map<String, Object> failure = new LinkedHashMap<>();
    failure.put("code", error.getStatus().getCode().name());
    failure.put("message", error.getStatus().getDescription());
    failure.put("reason", reasonOf(error));
    return failure;
  }

  private static String reasonOf(StatusRuntimeException error) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      }
    } catch (InvalidProtocolBufferException malformed) {
      throw new IllegalStateException(malformed);
    }
    return "";
  }

  /** How `call` fails; {"code": "OK"} when it does not. */
  private static Map<String, Object> failureFrom(Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      return failureOf(error);
    }
    Map<String, Object> none = new LinkedHashMap<>();
    none.put("code", "OK");
    return none;
  }

  private Map<String, Object> refused() {
    GenerateRequest.Builder request = story();
    request.getSamplingBuilder().setTopP(2);
    return failureFrom(() -> unary(request.build()));
  }

  private Map<String, Object> late() {
    HocketBlockingStub hurried = hocket.withDeadlineAfter(200, TimeUnit.MILLISECONDS);
    Map<String, Object> failure = failureFrom(() -> hurried.generate(endless().build()));
    failure.remove("message"); // The client's own timer may have been first.
    return failure;
  }

  private Map<String, Object> cancelled() {
    GenerateRequest request = endless().setRequestId("java-cancelled").build();
    Iterator<StreamGenerateResponse> stream = limited(hocket).streamGenerate(request);
    Answer answer = new Answer(1).foldUntil(stream, a -> a.choices.get(0).choiceTokens > 0);
    CancelRequest cancel = CancelRequest.newBuilder().setRequestId(request.getRequestId()).build();
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("found", limited(other).cancel(cancel).getFound());
    result.put("code", failureFrom(() -> answer.fold(stream)).get("code"));
    result.put("finish_reason", answer.choices.get(0).finish_reason);
    return result;
  }

  /** Loses its stream in the middle and takes it up again on another connection. */
  private List<ChoiceLine> broken() throws Exception {
    GenerateRequest.Builder request = pair("java-broken");
    Answer answer = new Answer(2);
    try (CancellableContext context = Context.current().withCancellation()) { // Closing it cancels the call.
      context.call(
          () ->
              answer.foldUntil(
                  limited(hocket).streamGenerate(request.build()),
                  a -> a.choices.stream().allMatch(choice -> choice.choiceTokens >= 20)));
    }
    Resume.Builder resume = Resume.newBuilder();
    answer.choices.forEach(choice -> resume.addTokenOffsets(choice.choiceTokens));
    request.setResume(resume);
    return answer.fold(limited(other).streamGenerate(request.build())).choices;
  }

  private Map<String, Object> everything() throws Exception {
    Map<String, Object> line = new LinkedHashMap<>();
    Model model = limited(hocket).getModel(GetModelRequest.getDefaultInstance()).getModel();
    Answer streamed = new Answer(1).fold(limited(hocket).streamGenerate(story().build()));
    EffectiveSettings settings = streamed.started.getSettings();
    line.put("language", "java");
    line.put("model", model.getName());
    line.put("vocabulary", model.getVocabularySize());
    line.put("round_trip", roundTrip("A naïve café 🦊 said “hello”."));
    line.put("streamed", streamed.choices.get(0));
    line.put("generated", streamed.usage.getGeneratedTokens());
    line.put("seed", Long.toUnsignedString(settings.getSampling().getSeed()));
    line.put("max_new", settings.getStopping().getMaxNewTokens());
    line.put("top_p_bits", Answer.bitsOf(settings.getSampling().getTopP()));
    line.put("top_logprobs", settings.getOutput().getTopLogprobs());
    line.put("unary", unary(story().build()));
    line.put("repeated", repeat(settings));
    line.put("refused", refused());
    line.put("late", late());
    line.put("cancelled", cancelled());
    line.put("broken", broken());
    return line;
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 1) {
      System.err.println("usage: smoke HOST:PORT");
      System.exit(2);
    }
    ManagedChannel first = NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    ManagedChannel second = NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    JsonSerializer<StringBuilder> asString = (text, type, context) -> new JsonPrimitive(text.toString());
    Gson gson = new GsonBuilder().registerTypeAdapter(StringBuilder.class, asString).create();
    Smoke smoke = new Smoke(HocketGrpc.newBlockingStub(first), HocketGrpc.newBlockingStub(second));
    new PrintStream(System.out, true, StandardCharsets.UTF_8).println(gson.toJson(smoke.everything()));
    first.shutdownNow();
    second.shutdownNow();
  }
}
